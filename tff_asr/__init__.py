"""Differentially private federated learning of speech recognition on TFF.

The public rooms are `corpora`, `executors`, `learning`, `models`, `optimizers`
and `privacy`.  Each of them exports its public names, the names in `__all__`,
and `docs/library.md` shows their use.  The other rooms and all modules serve
the commands and may change.
"""
