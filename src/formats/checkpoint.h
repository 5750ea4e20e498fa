// What training needs to go on after a crash: one file, replaced as a whole
// (docs/data/checkpoint.md).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/files.h"
#include "tensor/tensor.h"

namespace skerry::formats {

struct Checkpoint {
  std::string document;  // JSON of the writer's own
  std::vector<tensor::Tensor> tensors;
};

std::string encode(const Checkpoint& checkpoint);
// Untrusted bytes: kCorrupt where they are not what encode() wrote, to the last bit.
Result<Checkpoint> decode_checkpoint(std::string_view bytes);

// After a crash the file has its old or its new content.
Result<void> write_checkpoint(io::Files& files, const std::string& path,
                              const Checkpoint& checkpoint);
Result<Checkpoint> read_checkpoint(io::Files& files, const std::string& path);

}  // namespace skerry::formats
