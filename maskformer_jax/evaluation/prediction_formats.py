"""The formats in which an evaluation can save its predictions."""

FORMATS = {
    "labels": "predictions/IMAGE.png, labels 0..K-1 (semantic, panoptic)",
    "pictures": "pictures/IMAGE.png, the prediction beside the ground truth",
    "category-ids": "category_ids/IMAGE.png, the data set's own ids, as Cityscapes expects",
    "coco": "sem_seg_predictions.json, panoptic.json with panoptic/IMAGE.png, instances.json",
}
