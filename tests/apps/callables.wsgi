"""Callables, each of which answers with its name."""


def named(text):
    def answer(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [text]

    return answer


application = named(b"application")
another = named(b"another")


def in_its_group(environ, start_response):
    return named(f"another in {environ['mod_wsgi.application_group']}".encode())(environ, start_response)
