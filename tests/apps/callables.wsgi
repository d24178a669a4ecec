"""Two callables, each of which answers with its name."""


def named(text):
    def answer(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [text]

    return answer


application = named(b"application")
another = named(b"another")
