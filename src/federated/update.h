// What a device sends: how its training changed the model, as one long vector, and how much data
// stood behind it. Never the data.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry::federated {

using Vector = std::vector<float>;

struct Update {
  size_t round = 0;
  double examples = 0;  // that it was trained on
  double steps = 0;     // of training
  double loss = 0;      // while training, for people
  Vector delta;
};

// A file of training (docs/data/checkpoint.md) with one tensor, "delta".
std::string encode(const Update& update);
// Untrusted: kCorrupt where it is not what encode() writes, kInvalidArgument where a number is not
// finite, or the vector is not of `size`.
Result<Update> decode_update(std::string_view bytes, size_t size);

double length_of(const Vector& vector);
// To at most `limit` (0: any); the length before.
double clip(Vector& vector, double limit);

}  // namespace skerry::federated
