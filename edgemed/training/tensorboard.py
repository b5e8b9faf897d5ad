"""What TensorBoard shows of a training: one scalar a name and epoch, in its own event files.

tensorboard.write(Path("logs/cxr"), {"loss": 0.41, "validation_auc": 0.97}, epoch=3)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgemed.training import saving

__all__ = ["write"]


def write(folder: Path, values: Mapping[str, float], *, epoch: int) -> None:
    """Add one point, at ``epoch``, to each curve in a folder.

    Raises:
        ConfigError: the disk refuses the folder.
    """
    import tensorflow as tf

    with saving.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    # Not tf.summary.scalar: it wants the tensorboard package, which only whoever looks at the curves needs.
    plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
    metadata = tf.compat.v1.SummaryMetadata(plugin_data=plugin, data_class="DATA_CLASS_SCALAR")
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        for name, value in values.items():
            tf.summary.write(name, tf.constant(value, tf.float32), step=epoch, metadata=metadata)
    writer.close()
