"""What the paper reports (MikuDance, arXiv 2411.08656): table 1 on 100 MMD test videos, and the ablations."""

from train.evaluation.config import Metric

Row = dict[Metric, float]


def _row(fid: float, ssim: float, psnr: float, lpips: float, l1: float, fid_vid: float, fvd: float) -> Row:
    return {"fid": fid, "ssim": ssim, "psnr": psnr, "lpips": lpips, "l1": l1, "fid_vid": fid_vid, "fvd": fvd}


def _ablation(fid: float, ssim: float, psnr: float, fid_vid: float, fvd: float) -> Row:
    return {"fid": fid, "ssim": ssim, "psnr": psnr, "fid_vid": fid_vid, "fvd": fvd}


COMPARISON: dict[str, Row] = {
    "AniAny": _row(43.945, 0.488, 12.530, 0.548, 7.31e-5, 38.179, 846.414),
    "AniAny*": _row(28.833, 0.526, 13.610, 0.517, 6.23e-5, 26.764, 575.304),
    "DISCO": _row(59.221, 0.313, 10.732, 0.615, 9.25e-5, 46.852, 923.921),
    "MagicPose": _row(44.258, 0.424, 12.357, 0.554, 7.77e-5, 41.347, 886.691),
    "UniAnimate": _row(47.328, 0.417, 12.074, 0.571, 7.93e-5, 40.924, 882.245),
    "MikuDance": _row(24.597, 0.576, 14.592, 0.493, 5.73e-5, 22.868, 502.380),
}
"""Table 1: the baselines (* fine-tuned on the paper's data) and the paper's model."""
ABLATIONS: dict[str, Row] = {
    "w/o MIX": _ablation(27.315, 0.523, 14.004, 24.124, 541.453),
    "w/o MAN": _ablation(24.985, 0.542, 14.501, 23.366, 509.342),
    "w/o SMT": _ablation(25.472, 0.534, 14.312, 23.362, 517.673),
    "w/ Plücker": _ablation(25.918, 0.538, 14.261, 23.471, 521.853),
    "w/ Flow": _ablation(26.141, 0.516, 14.088, 23.079, 505.533),
    "MikuDance": _ablation(24.597, 0.576, 14.592, 22.868, 502.380),
}
"""The ablation table (no LPIPS and L1 there)."""
