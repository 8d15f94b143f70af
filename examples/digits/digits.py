# Written by panmodel 0.1.0 from model.ckpt
"""Net, converted from model.ckpt.

The weights are in a file beside this one, their original names in .names.json:

    model = Net()
    model.load_state_dict(safetensors.torch.load_file("digits.safetensors"))
    model.eval()
"""

import torch.nn.functional as F
from torch import nn


class Conv(nn.Module):
    """conv1, conv2 of the original."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x):
        return F.max_pool2d(F.relu(self.bn(self.conv(x))), 2)


class Net(nn.Module):
    """The whole model, with 7,970 parameters.

    Inputs:
        x: float32 (batch, 8, 8, 1); images:0 in the original

    Outputs:
        float32 (batch, 10); probabilities:0 in the original
    """

    def __init__(self):
        super().__init__()
        self.conv1 = Conv(1, 16)
        self.conv2 = Conv(16, 24)
        self.fc1 = nn.Linear(96, 40)
        self.fc2 = nn.Linear(40, 10)

    def forward(self, x):
        x = self.conv1(x.reshape(-1, 1, 8, 8))  # (batch, 16, 4, 4)
        x = self.conv2(x).flatten(1)  # (batch, 96)
        x = F.relu(self.fc1(x))  # (batch, 40)
        return F.softmax(self.fc2(x), dim=-1)  # (batch, 10)
