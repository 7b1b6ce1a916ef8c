"""Rigid transforms under the names by which DROID-SLAM's inference uses the package `lietorch`, in plain torch.

An element is [tx ty tz qx qy qz qw] (scalar last), a tangent vector [tau, phi] (translation first). Products compose
from the left: (A * B) * x = A * (B * x).
"""

from collections.abc import Sequence
from typing import Any

import torch

_SMALL = 1e-4


def cross_matrix(vector: torch.Tensor) -> torch.Tensor:
    """[..., 3, 3] with cross_matrix(a) @ b = a × b."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def rotation_matrix(quaternion: torch.Tensor) -> torch.Tensor:
    """[..., 3, 3] of unit quaternions [..., 4], scalar last."""
    vector, scalar = quaternion[..., :3], quaternion[..., 3:, None]
    cross = cross_matrix(vector)
    return torch.eye(3, dtype=vector.dtype, device=vector.device) + 2 * scalar * cross + 2 * cross @ cross


def _times(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Product of quaternions [..., 4], scalar last."""
    va, sa, vb, sb = a[..., :3], a[..., 3:], b[..., :3], b[..., 3:]
    vector = sa * vb + sb * va + torch.linalg.cross(va, vb)
    return torch.cat([vector, sa * sb - (va * vb).sum(-1, keepdim=True)], -1)


def _left_jacobian(phi: torch.Tensor) -> torch.Tensor:
    """[..., 3, 3] that turns tau into the translation of exp([tau, phi])."""
    angle2 = (phi * phi).sum(-1)[..., None, None]
    angle = angle2.sqrt()
    small = angle < _SMALL
    safe = torch.where(small, torch.ones_like(angle), angle)
    first = torch.where(small, 0.5 - angle2 / 24, (1 - safe.cos()) / safe**2)
    second = torch.where(small, 1 / 6 - angle2 / 120, (safe - safe.sin()) / safe**3)
    cross = cross_matrix(phi)
    return torch.eye(3, dtype=phi.dtype, device=phi.device) + first * cross + second * cross @ cross


class SE3:
    """Rigid transforms [..., 7]; `data` is the tensor itself, which upstream also writes to."""

    manifold_dim = 6

    def __init__(self, data: torch.Tensor) -> None:
        self.data = data

    @classmethod
    def Identity(cls, *shape: int) -> "SE3":  # noqa: N802 (the package's name)
        data = torch.zeros(*shape, 7)
        data[..., 6] = 1
        return cls(data)

    @classmethod
    def exp(cls, tangent: torch.Tensor) -> "SE3":
        tau, phi = tangent[..., :3], tangent[..., 3:]
        half = 0.5 * phi.norm(dim=-1, keepdim=True)
        quaternion = torch.cat([0.5 * torch.special.sinc(half / torch.pi) * phi, half.cos()], -1)
        return cls(torch.cat([(_left_jacobian(phi) @ tau[..., None])[..., 0], quaternion], -1))

    def log(self) -> torch.Tensor:
        vector, scalar = self.data[..., 3:6], self.data[..., 6:]
        sign = torch.where(scalar < 0, -torch.ones_like(scalar), torch.ones_like(scalar))  # the shorter way round
        vector, scalar = sign * vector, sign * scalar
        length = vector.norm(dim=-1, keepdim=True)
        small = length < _SMALL
        safe = torch.where(small, torch.ones_like(length), length)
        phi = torch.where(small, 2 / scalar.clamp(min=0.5), 2 * torch.atan2(safe, scalar) / safe) * vector
        tau = torch.linalg.solve(_left_jacobian(phi), self.data[..., :3, None])[..., 0]
        return torch.cat([tau, phi], -1)

    def inv(self) -> "SE3":
        quaternion = self.data[..., 3:] * self.data.new_tensor([-1, -1, -1, 1])
        moved = rotation_matrix(quaternion) @ self.data[..., :3, None]
        return SE3(torch.cat([-moved[..., 0], quaternion], -1))

    def __mul__(self, other: Any) -> Any:
        """Another SE3, or points [..., 4]: homogeneous (X, Y, Z, W), of which W stays."""
        rotation, translation = rotation_matrix(self.data[..., 3:]), self.data[..., :3]
        if isinstance(other, SE3):
            moved = (rotation @ other.data[..., :3, None])[..., 0] + translation
            return SE3(torch.cat([moved, _times(self.data[..., 3:], other.data[..., 3:])], -1))
        moved = (rotation @ other[..., :3, None])[..., 0] + translation * other[..., 3:]
        return torch.cat([moved, other[..., 3:].expand_as(moved[..., :1])], -1)

    def __getitem__(self, index: Any) -> "SE3":
        return SE3(self.data[index])

    def adjoint(self) -> torch.Tensor:
        """[..., 6, 6] with exp(adjoint @ x) * G = G * exp(x)."""
        rotation = rotation_matrix(self.data[..., 3:])
        lower = cross_matrix(self.data[..., :3]) @ rotation
        top = torch.cat([rotation, lower], -1)
        return torch.cat([top, torch.cat([torch.zeros_like(rotation), rotation], -1)], -2)


def cat(parts: Sequence[SE3], dim: int) -> SE3:
    """Elements one after the other along an axis."""
    return SE3(torch.cat([part.data for part in parts], dim))
