"""The HTTPS server: cheroot's, with connections that cost no thread while they are quiet.

``tls``
    contexts and cheroot's way to them
``connections``
    the server and its limits
``manager``, ``lobby``, ``peers``, ``rest``
    who is let in, who gives way, and where the quiet ones wait
``standing``, ``turns``
    what a connection counts as, and whose turn it is
``exchange``
    one connection: handshake, head, body, answer, each with its deadline
``framing``, ``incoming``
    what is a request, and what is refused before anybody sees it
``gateway``, ``answers``, ``workers``
    how a complete request reaches the application, and its answer the client
"""
