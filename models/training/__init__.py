"""How the models are learnt: interactions, splits, fitting and evaluation. Not imported by the service."""
