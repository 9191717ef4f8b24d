"""Before anything is sent: does the chain hold what these books do not know?

::

    journal    what was sent and the books lack is written again    (replaying)
    chain      executions and outflows that nobody wrote down       (outflows)
               sweeps that nobody wrote down                        (inflows)
    nonces     used ones are never taken again                      (comparing)

A database that was restored from a backup is found out here, and made true,
before any lane opens. Until then nothing is sealed, sent or promised.
"""
