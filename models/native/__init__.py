"""What a request spends its time on, in C: numpy's functions of the same meaning stand in models, and are the oracle.

A request is a few hundred short calls of numpy, each of which holds the interpreter's lock and most of which cost more
than their arithmetic. Here they are five: ask, nearest, search, features, head; other threads run meanwhile.
"""
