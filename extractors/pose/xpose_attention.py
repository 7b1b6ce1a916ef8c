"""Multi-scale deformable attention (Deformable DETR, arXiv 2010.04159, eq. 2) in plain torch, for CPU and GPU.

X-Pose's code calls a compiled module of the name `MultiScaleDeformableAttention`; this one has the same function, so
that nothing has to be compiled. For inference only: it has no backward function of its own.
"""

import torch
from torch.nn import functional


def ms_deform_attn_forward(
    value: torch.Tensor,
    spatial_shapes: torch.Tensor,
    level_start_index: torch.Tensor,
    sampling_locations: torch.Tensor,
    attention_weights: torch.Tensor,
    im2col_step: int,
) -> torch.Tensor:
    """Weighted sum of bilinear samples from feature maps of several scales.

    value: [N, S, M, D], the L maps flattened row by row and joined, M heads of D channels. spatial_shapes: int [L, 2],
    (height, width) of each map. level_start_index: int [L], where each begins in S. sampling_locations:
    [N, Q, M, L, P, 2], x and y as shares of the map (0 and 1 are its borders); outside is 0. attention_weights:
    [N, Q, M, L, P]. im2col_step: batch split of the compiled op, without meaning here. Returns [N, Q, M · D].
    """
    batch, _, heads, channels = value.shape
    queries, points = sampling_locations.shape[1], sampling_locations.shape[4]
    total = value.new_zeros(batch * heads, channels, queries)
    for level, (height, width) in enumerate(spatial_shapes.tolist()):
        start = int(level_start_index[level])
        maps = value[:, start : start + height * width].permute(0, 2, 3, 1).reshape(-1, channels, height, width)
        grid = (2 * sampling_locations[:, :, :, level] - 1).transpose(1, 2).reshape(-1, queries, points, 2)
        samples = functional.grid_sample(maps, grid.to(maps.dtype), padding_mode="zeros", align_corners=False)
        weights = attention_weights[:, :, :, level].transpose(1, 2).reshape(-1, 1, queries, points)
        total += (samples * weights).sum(-1)
    return total.reshape(batch, heads * channels, queries).transpose(1, 2).contiguous()
