"""From labelled images to a trained Keras model and its clinical evaluation."""
