// SPDX-License-Identifier: Apache-2.0
// Accesses of any offset and size to the four parts of a PcTestdev, compared
// with arrays of bytes; lines are told by change. Input: quintuples of part and
// direction, offset in two bytes, size, value.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <vector>

#include "libvmm/devices/io_device.h"
#include "libvmm/devices/testdev/pc_testdev.h"
#include "libvmm/devices/testdev/pc_testdev_registers.h"
#include "libvmm/devices/testdev/pc_testdev_state.h"

namespace libvmm {
namespace {

using namespace pc_testdev;  // NOLINT: the device's names.

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

class Session {
 public:
  void Step(uint8_t action, uint16_t position, uint8_t size, uint8_t value) {
    std::array<std::byte, 8> data;
    for (size_t i = 0; i < data.size(); ++i) {
      data[i] = static_cast<std::byte>(value * (i + 1));
    }
    const std::span bytes = std::span(data).first(size % 9);
    const bool write = action >= 0x80;
    switch (action % 4) {
      case 0:
        Bytes(dev_.scratch(), scratch_, position % 6, bytes, write);
        break;
      case 1:
        // Half of them about the end.
        Bytes(dev_.memory(), memory_,
              position % 2 == 0 ? position : kMemorySize - position % 16, bytes,
              write);
        break;
      case 2:
        Irqs(position % (kIrqCount + 2), bytes, write);
        break;
      case 3:
        Flush(position % 6, bytes, write);
        break;
    }
  }

  void Finish() {
    const PcTestdevState state = dev_.Save();
    FUZZ_CHECK(state.Validate().ok());
    FUZZ_CHECK(state.lines == lines_);
    FUZZ_CHECK(state.memory == memory_);
    FUZZ_CHECK(std::vector(state.scratch.begin(), state.scratch.end()) ==
               scratch_);
    PcTestdev copy({});
    FUZZ_CHECK(copy.Restore(state).ok());
    FUZZ_CHECK(copy.Save() == state);
    dev_.Reset();
    FUZZ_CHECK(lines_ == 0);
    FUZZ_CHECK(dev_.Save() == PcTestdevState());
  }

 private:
  static void Bytes(IoDevice& device, std::vector<uint8_t>& model,
                    uint64_t offset, std::span<std::byte> bytes, bool write) {
    if (write) {
      FUZZ_CHECK(device.Write(offset, bytes) == IoResult::kDone);
    } else {
      FUZZ_CHECK(device.Read(offset, bytes) == IoResult::kDone);
    }
    for (const std::byte byte : bytes) {
      if (write) {
        if (offset < model.size()) {
          model[offset] = static_cast<uint8_t>(byte);
        }
      } else {
        FUZZ_CHECK(byte == (offset < model.size() ? std::byte{model[offset]}
                                                  : std::byte{0xff}));
      }
      ++offset;
    }
  }

  void Irqs(uint64_t line, std::span<std::byte> bytes, bool write) {
    if (!write) {
      FUZZ_CHECK(dev_.irqs().Read(line, bytes) == IoResult::kDone);
      for (const std::byte byte : bytes) FUZZ_CHECK(byte == std::byte{0xff});
      return;
    }
    const uint32_t before = lines_;
    FUZZ_CHECK(dev_.irqs().Write(line, bytes) == IoResult::kDone);
    bool level = false;
    for (const std::byte byte : bytes) level = level || byte != std::byte{0};
    if (line >= kIrqCount) {
      FUZZ_CHECK(lines_ == before);
    } else {
      const uint32_t bit = uint32_t{1} << line;
      FUZZ_CHECK(lines_ == (level ? before | bit : before & ~bit));
    }
  }

  void Flush(uint64_t offset, std::span<std::byte> bytes, bool write) {
    const int flushes = flushes_;
    if (write) {
      FUZZ_CHECK(dev_.flush().Write(offset, bytes) == IoResult::kDone);
      FUZZ_CHECK(flushes_ - flushes ==
                 (offset == 0 && bytes.size() == 4 ? 1 : 0));
      return;
    }
    FUZZ_CHECK(dev_.flush().Read(offset, bytes) == IoResult::kDone);
    FUZZ_CHECK(flushes_ == flushes);
  }

  std::vector<uint8_t> scratch_ = std::vector<uint8_t>(kScratchSize);
  std::vector<uint8_t> memory_ = std::vector<uint8_t>(kMemorySize);
  uint32_t lines_ = 0;
  int flushes_ = 0;
  PcTestdev dev_{{
      .irq =
          [this](uint8_t line, bool level) {
            FUZZ_CHECK(line < kIrqCount);
            FUZZ_CHECK(level != ((lines_ >> line & 1) != 0));
            lines_ ^= uint32_t{1} << line;
          },
      .flush =
          [this](uint32_t page) {
            FUZZ_CHECK(page % 4096 == 0);
            ++flushes_;
          },
  }};
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  libvmm::Session session;
  for (size_t i = 0; i + 4 < size; i += 5) {
    session.Step(data[i],
                 static_cast<uint16_t>(data[i + 1] * 256 + data[i + 2]),
                 data[i + 3], data[i + 4]);
  }
  session.Finish();
  return 0;
}
