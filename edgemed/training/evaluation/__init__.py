"""How well a model does on labelled images, for a run, a saved model or a bundle: one document, one way to each figure.

| module | what |
|---|---|
| `subjects` | what can be evaluated: a bundle as the device runs it, or a model with its preprocessing |
| `answers` | what a subject says of labelled images, in arrays |
| `rule` | thresholds of a model that has none yet, from validation |
| `sample` | figures of answers, by image and by patient |
| `points`, `calibrations`, `subgroups`, `several`, `comparison` | the parts of the document |
| `document`, `whole` | the document |
"""
