"""Speaking to an EVM chain; knows nothing of the business."""
