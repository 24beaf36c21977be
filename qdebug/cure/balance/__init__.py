"""Channels of unequal reach, balanced: edits of the float model that leave its outputs as they are.

Between two layers a channel may be made smaller in the first and larger in the second by the same
factor. What was the widest channel then no longer sets the step of all the others.
"""
