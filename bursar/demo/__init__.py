"""``bursar demo``: the main job on this machine, with nothing to configure.

The daemon, the contracts, the API and the webhooks are the real ones. Only the
world around them is made up: a local chain, worthless tokens, two shops and
their customers. What the daemon claims at the end is checked against balances
that the demo reads from the chain by itself.
"""
