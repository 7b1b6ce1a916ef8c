"""Scores of animations against the videos they should have been: FID, SSIM, PSNR, LPIPS, L1, FID-VID and FVD.

`evaluate` in `train.evaluation.evaluate` is the call; `docs/evaluation.md` says what each protocol computes.
"""
