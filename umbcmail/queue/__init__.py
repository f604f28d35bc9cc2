"""The message is ours: intake, spool, runners, settlement, bounces.

`intake` takes a message over, `attempt` tries to deliver it, `settlement` writes
down what came of it, `runner` tries again later, `notifier` and `bounce` tell the
sender; `deadletters` keeps small what nobody can be told of.
"""
