"""From files to batches, all in NumPy.

classes       registry, label_names (metadata/*.json, a Hugging Face `config.json`)
files         images, labels, run_lengths, panoptic, example: decoding and what it gives
sources       sources opens one of: folder, panoptic_json, instance_json (coco_json),
              penn_fudan, tfds_source (tfds_records, tfrecords); split takes parts of them
augmentation  transforms, color: fixed crops; geometry: images of varying size
batches       targets, samples, grouping, pipeline; eval_examples for evaluation
preparation   prepare/ converts downloads, tfds_builders/ writes records, shapes draws a data set
checks        check, check_report; location: messages for missing data
"""
