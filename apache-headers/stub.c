/* For unit tests only: every function of httpd itself, as one that ends the test with its name. A
 * test binary is no httpd, so the ap_* symbols that the wrapper calls have nowhere else to come from;
 * APR and APR-util are linked for real. build.rs writes stubs.inc from the bindings. */
#include <stdio.h>
#include <stdlib.h>

#define STUB(name)                                                              \
    void name(void);                                                            \
    void name(void)                                                             \
    {                                                                           \
        fprintf(stderr, "unit test called " #name ", which only httpd has\n");  \
        abort();                                                                \
    }

#include "stubs.inc"
