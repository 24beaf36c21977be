"""Labelled data sets: pictures and what is on them.

One module a form of data set; ``read_dataset`` finds out which one a path is in.
"""

from qdebug.datasets.dataset import BoxTruth, Dataset, LabelledPicture
from qdebug.datasets.recognize import FORMS, read_dataset
from qdebug.datasets.scan import scan

__all__ = ["FORMS", "BoxTruth", "Dataset", "LabelledPicture", "read_dataset", "scan"]
