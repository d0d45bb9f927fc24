"""The only room with asyncio, sockets and clocks: the ASGI app, one actor per connection, the engines' work."""
