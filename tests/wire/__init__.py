"""A loopback Discord: gateway, REST and attachments over HTTP and WebSocket, held to Discord's own description.

`openapi.json.gz` is discord/discord-api-spec at 74fda0f (2026-07-18), MIT, licence beside it.
"""
