"""The network: Reference UNet, motion-adaptive normalisation, denoising UNet, and what encodes their inputs."""
