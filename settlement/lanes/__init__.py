"""The transaction manager: lanes of nonces, each attempt stored before it is sent.

::

    P1 batch sealed, money reserved     one commit (settlement.payouts, settlement.sweeps)
    P2 nonce taken, signed bytes stored one commit (dispatch)
       broadcast
    P3 time of broadcast stored         one commit (sending)
    P4 replacement stored               one commit, before it is sent (following)
    P5 receipt seen                     one commit (following)
    P6 final: posted or void            one commit (finish)

Each commit passes the fencing check of the lease first. A crash between any
two is healed by the next tick of whoever holds the lease, with the same bytes.
"""
