"""HTTP/1.1 on asyncio and the standard library alone: as much of it as a receiver of webhooks needs."""
