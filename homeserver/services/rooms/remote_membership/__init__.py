"""Our users in rooms that this server is not in: joins, knocks, invites and leaves by way of other servers."""
