"""The receiver: HTTP/1.1 on asyncio and the standard library alone."""
