// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/program/program.h"
