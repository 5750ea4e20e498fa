// What a device sends: how its training changed the model, as one long vector, and how much data
// stood behind it. Never the data.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/random.h"

namespace skerry::federated {

using Vector = std::vector<float>;

struct Update {
  size_t round = 0;
  double examples = 0;  // that it was trained on
  double steps = 0;     // of training
  double loss = 0;      // while training, for people
  bool within = true;   // it did not have to be cut to the longest that may be sent
  Vector delta;
};

// How a vector is sent.
struct Coding {
  bool bytes = false;  // 8 bits a number instead of 32, rounded so that the mean stays
  double largest = 1;  // share of the numbers, those of largest size; the others count as 0
};
// "none", "int8", "top=0.05", "int8,top=0.05"; kInvalidArgument lists them.
Result<Coding> parse_coding(std::string_view text);

// A file of training (docs/data/checkpoint.md): the tensor "delta", or its parts
// (docs/data/learning-rounds.md). `random` rounds.
std::string encode(const Update& update);
std::string encode(const Update& update, const Coding& coding, io::Random& random);
// Untrusted: kCorrupt where it is not what encode() writes, kInvalidArgument where a number is not
// finite, or the vector is not of `size`.
Result<Update> decode_update(std::string_view bytes, size_t size);

double length_of(const Vector& vector);
// To at most `limit` (0: any); the length before.
double clip(Vector& vector, double limit);

}  // namespace skerry::federated
