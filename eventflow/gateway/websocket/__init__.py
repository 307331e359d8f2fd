"""WebSocket APIs: connections that stay, the routes that their messages lead to, and what functions send back over them."""
