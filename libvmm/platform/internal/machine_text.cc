// SPDX-License-Identifier: Apache-2.0
// Here and not beside its header because it includes the generated
// machine.pb.h, which is not in the source tree.
#include "libvmm/platform/machine_text.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/text_format.h>

#include <limits>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/platform/internal/machine_proto.h"
#include "libvmm/platform/machine.pb.h"

namespace libvmm {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::TextFormat;

// Counted from 0, as protobuf does; none where `line` is negative.
struct Place {
  int line = -1;
  int column = 0;
};

absl::Status ErrorAt(Place place, absl::string_view message) {
  if (place.line < 0) return absl::InvalidArgumentError(message);
  return absl::InvalidArgumentError(absl::StrCat(
      "line ", place.line + 1, ", column ", place.column + 1, ": ", message));
}

// Keeps the first error; the parser stops there or soon.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (status_.ok()) {
      status_ = ErrorAt({.line = line, .column = column}, message);
    }
  }

  [[nodiscard]] const absl::Status& status() const { return status_; }

 private:
  absl::Status status_;
};

// Follows a path like "boot.multiboot.modules[1].file" through the text.
class Path {
 public:
  Path(const Descriptor* message, const TextFormat::ParseInfoTree* tree)
      : message_(message), tree_(tree) {}

  // One step down; false when the text's message has no such field.
  bool Descend(absl::string_view step) {
    int index = -1;
    const size_t bracket = step.find('[');
    if (bracket != absl::string_view::npos) {
      absl::string_view digits = step;
      digits.remove_prefix(bracket + 1);
      if (!absl::ConsumeSuffix(&digits, "]") ||
          !absl::SimpleAtoi(digits, &index)) {
        return false;
      }
      step.remove_suffix(step.size() - bracket);
    }
    if (message_ == nullptr || tree_ == nullptr) return false;
    const FieldDescriptor* const field =
        message_->FindFieldByName(std::string(step));
    if (field == nullptr || field->is_repeated() != (index >= 0)) return false;
    const TextFormat::ParseLocation location = tree_->GetLocation(field, index);
    if (location.line >= 0) {
      place_ = {.line = location.line, .column = location.column};
    }
    message_ = field->message_type();
    tree_ =
        message_ == nullptr ? nullptr : tree_->GetTreeForNested(field, index);
    return true;
  }

  // Of the last step that the text has.
  [[nodiscard]] Place place() const { return place_; }

 private:
  const Descriptor* message_;
  const TextFormat::ParseInfoTree* tree_;
  Place place_;
};

// Messages begin with the field's path, as "memory.size_mib is 0" or
// "cpu: brand has 48 bytes".
Place PlaceOf(absl::string_view message,
              const TextFormat::ParseInfoTree& tree) {
  Path path(machine::Machine::descriptor(), &tree);
  while (true) {
    const size_t end = message.find_first_of(".: ");
    if (end == absl::string_view::npos) return path.place();
    absl::string_view step = message;
    step.remove_suffix(message.size() - end);
    if (!path.Descend(step) || message[end] == ' ') return path.place();
    message.remove_prefix(end + 1);
    absl::ConsumePrefix(&message, " ");
  }
}

}  // namespace

absl::StatusOr<PcConfig> ParseMachineText(absl::string_view text) {
  if (text.size() > std::numeric_limits<int>::max()) {
    return absl::InvalidArgumentError("the text has 2 GiB or more");
  }
  FirstError error;
  TextFormat::ParseInfoTree tree;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  parser.WriteLocationsTo(&tree);
  google::protobuf::io::ArrayInputStream input(text.data(),
                                               static_cast<int>(text.size()));
  machine::Machine machine;
  if (!parser.Parse(&input, &machine)) {
    if (!error.status().ok()) return error.status();
    return absl::InvalidArgumentError("the text is no machine description");
  }
  absl::StatusOr<PcConfig> config = internal::ConfigFromProto(machine);
  const absl::Status status =
      config.ok() ? ValidatePcConfig(*config) : config.status();
  if (!status.ok())
    return ErrorAt(PlaceOf(status.message(), tree), status.message());
  return config;
}

std::string FormatMachineText(const PcConfig& config) {
  machine::Machine machine;
  internal::ConfigToProto(config, machine);
  std::string text;
  TextFormat::PrintToString(machine, &text);
  return text;
}

}  // namespace libvmm
