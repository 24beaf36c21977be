"""Facts that several checks need, one kind a file, a floor below the checks.

A fact is a function of the context. Checks ask for it through ``context.once``, which computes it
for the first of them and keeps it: ``context.once(norm_layers)``. Checks do not import each other;
what a second one needs moves here. Facts may ask for other facts, and import no check.
"""
