"""Tensors whose elements are a dataset of an HDF5 file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from panmodel.dtypes import ALL, STRING, DType
from panmodel.errors import CorruptError
from panmodel.io.source import CHUNK, Extent
from panmodel.model.tensor import Checksum, Tensor
from panmodel.wire.hdf5 import Dataset
from panmodel.wire.hdf5.datatype import Class
from panmodel.wire.hdf5.writing_datatypes import DTYPE_ATTRIBUTE

if TYPE_CHECKING:
    import numpy as np


class DatasetTensor(Tensor):
    """A dataset as a tensor.

    Args:
        dataset: The dataset.
        name: Its name.
        dtype: What its elements are: `element_type` of the dataset.
    """

    def __init__(self, dataset: Dataset, name: str, dtype: DType) -> None:
        self.name, self.dtype, self.shape = name, dtype, dataset.shape
        self._dataset = dataset
        self._checksum: Callable[[], Checksum] | None = None
        self._where = ""

    def hold_against(self, checksum: Callable[[], Checksum], where: str = "") -> None:
        """From now on hold the file that the dataset is in against what this makes, before elements are given.

        Args:
            checksum: Makes it.
            where: The file, for messages.
        """
        self._checksum, self._where = checksum, where

    @property
    def extent(self) -> Extent | None:  # type: ignore[override]
        """See `Tensor`."""
        return self._dataset.extent if self.dtype.bits >= 8 else None

    def numpy(self) -> np.ndarray:
        """See `Tensor.numpy`."""
        self._verify()
        array = self._dataset.numpy()
        if self.dtype is STRING or array.dtype == self.dtype.numpy:
            return array
        return array.reshape(-1).view(self.dtype.numpy).reshape(self.shape)

    def chunks(self, nbytes: int = CHUNK) -> Iterator[memoryview]:
        """See `Tensor.chunks`."""
        if self.dtype.bits < 8:
            yield from super().chunks(nbytes)
            return
        self._verify()
        yield from self._dataset.chunks(nbytes)

    def _verify(self) -> None:
        if self._checksum is not None and (said := self._checksum().verify()):
            hint = "the stored bytes are damaged: fetch the file again"
            message = f"tensor {self.name!r} is in a file that does not meet its checksum: {said}"
            raise CorruptError(message, where=self._where, hint=hint)


def element_type(dataset: Dataset, unnamed: DType | None = None) -> DType | None:
    """What the elements of a dataset are; None if they are nothing that a tensor can have.

    Args:
        dataset: The dataset.
        unnamed: What opaque elements of its size are, where the dataset does not say.
    """
    said = dataset.attributes.get(DTYPE_ATTRIBUTE)
    named = ALL.get(said) if isinstance(said, str) else None
    stored = dataset.dtype
    if said is None and unnamed is not None and dataset.datatype.size == unnamed.itemsize:
        named = unnamed if dataset.datatype.kind is Class.OPAQUE else None
    if named is None or not named.bits or named.itemsize != dataset.datatype.size:
        return stored
    if stored is None:
        return named if dataset.datatype.kind is Class.OPAQUE else None
    return named if stored.numpy == named.numpy else stored
