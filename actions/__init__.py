"""What a person may ask for: who is it, may they, is the input valid, do it, write it down.

The only door for the dashboard, the HTTP API and the command line, so that all of them obey one rule. An action
is a function whose first parameter is the one who asks; :func:`actions.door.action` guards it.
"""
