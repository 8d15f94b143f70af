"""Two models tensor by tensor: what was added, removed, renamed or changed, across formats."""
