// Scaled dot-product attention as ONNX has it since operator set 23:
//   Y = Softmax(softcap(scale · Q·Kᵀ) + mask) · V
// Q, K, V are [batch, heads, length, size], or [batch, length, heads · size] with the numbers of
// heads as attributes; several heads of Q may share one of K and V. A row of the mask that allows
// nothing gives zeros, as in stock ONNX Runtime. Sums are taken in double, so `softmax_precision`
// has nothing to say.
#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/ops/common.h"
#include "graph/ops/families.h"

namespace skerry::graph::ops {
namespace {

constexpr size_t kMask = 3, kPastKey = 4, kPastValue = 5;
constexpr size_t kPresentKey = 1, kPresentValue = 2, kScores = 3;

// What `qk_matmul_output` shows.
enum class Stage { kScaled, kCapped, kMasked, kSoftmax };

// --- Shapes -------------------------------------------------------------------------------------

// An input as [batch, heads, length, size].
struct Heads {
  Dim batch, heads, length, size;
};

Result<Heads> heads_of(const Inference& inference, size_t input, std::string_view attribute) {
  const Shape& shape = inference.shape(input);
  if (shape.size() == 4) return Heads{shape[0], shape[1], shape[2], shape[3]};
  if (shape.size() != 3) {
    return inference.refuse("takes three or four dimensions, it is given {}",
                            to_string(inference.type(input)));
  }
  const Attribute* count = inference.node().find(attribute);
  if (count == nullptr || std::get<int64_t>(*count) <= 0) {
    return inference.refuse("three dimensions need {}", attribute);
  }
  const int64_t heads = std::get<int64_t>(*count);
  Dim size;
  if (shape[2].is_fixed()) {
    if (shape[2].size() % heads != 0) {
      return inference.refuse("{} do not divide into {} heads", shape[2].size(), heads);
    }
    size = Dim(shape[2].size() / heads);
  } else if (heads == 1) {
    size = shape[2];
  }
  return Heads{shape[0], Dim(heads), shape[1], size};
}

bool differ(const Dim& a, const Dim& b) {
  return a.is_fixed() && b.is_fixed() && a != b;
}

// `now` behind what the past has of it.
Result<Heads> with_past(const Inference& inference, size_t past, const Heads& now) {
  if (!inference.has(past)) return now;
  Heads all = now;
  all.length = {};
  if (!inference.ranked(past)) return all;
  const Shape& shape = inference.shape(past);
  if (shape.size() != 4 || differ(shape[0], now.batch) || differ(shape[1], now.heads) ||
      differ(shape[3], now.size)) {
    return inference.refuse("the past {} does not go with what follows it",
                            to_string(inference.type(past)));
  }
  all.length = plus(shape[2], now.length);
  return all;
}

Result<void> check_heads(const Inference& inference, const Heads& q, const Heads& k,
                         const Heads& v) {
  const bool shared = !q.heads.is_fixed() || !k.heads.is_fixed() ||
                      (k.heads.size() > 0 && q.heads.size() % k.heads.size() == 0);
  if (shared && !differ(q.batch, k.batch) && !differ(q.batch, v.batch) && !differ(q.size, k.size) &&
      !differ(k.heads, v.heads) && !differ(k.length, v.length)) {
    return {};
  }
  return inference.refuse("{}, {} and {} do not go together", to_string(inference.type(0)),
                          to_string(inference.type(1)), to_string(inference.type(2)));
}

Result<void> infer_attention(Inference& inference) {
  const Node& node = inference.node();
  SKERRY_TRY(inference.same_element(0, 1));
  if (inference.has(kPastKey) != inference.has(kPastValue)) {
    return inference.refuse("has a past of keys or of values, not of both");
  }
  const int64_t mode = node.int_of("qk_matmul_output_mode");
  if (mode < 0 || mode > 3) return inference.refuse("qk_matmul_output_mode is {}", mode);
  inference.set(0, inference.element(0));
  const size_t count = inference.output_count();
  for (size_t i = kPresentKey; i < count; ++i) {
    inference.set(i, inference.element(i == kScores ? 0 : i));
  }
  if (!inference.ranked(0) || !inference.ranked(1) || !inference.ranked(2)) return {};
  if (inference.rank(1) != inference.rank(0) || inference.rank(2) != inference.rank(0)) {
    return inference.refuse("its inputs have {}, {} and {} dimensions", inference.rank(0),
                            inference.rank(1), inference.rank(2));
  }
  SKERRY_ASSIGN(const Heads q, heads_of(inference, 0, "q_num_heads"));
  SKERRY_ASSIGN(Heads k, heads_of(inference, 1, "kv_num_heads"));
  SKERRY_ASSIGN(Heads v, heads_of(inference, 2, "kv_num_heads"));
  SKERRY_TRY(check_heads(inference, q, k, v));
  SKERRY_ASSIGN(k, with_past(inference, kPastKey, k));
  SKERRY_ASSIGN(v, with_past(inference, kPastValue, v));
  const Shape scores = {q.batch, q.heads, q.length, k.length};
  SKERRY_TRY(check_broadcast_to(inference, scores, kMask));
  inference.set(0, inference.element(0),
                inference.rank(0) == 3 ? Shape{q.batch, q.length, times(q.heads, v.size)}
                                       : Shape{q.batch, q.heads, q.length, v.size});
  if (count > kPresentKey) {
    inference.set(kPresentKey, inference.element(1), Shape{k.batch, k.heads, k.length, k.size});
  }
  if (count > kPresentValue) {
    inference.set(kPresentValue, inference.element(2), Shape{v.batch, v.heads, v.length, v.size});
  }
  if (count > kScores) inference.set(kScores, inference.element(0), scores);
  return {};
}

// --- Values -------------------------------------------------------------------------------------

// [batch, heads, length, size] in double.
struct Tokens {
  int64_t batch = 0, heads = 0, length = 0, size = 0;
  std::vector<double> numbers = {};

  std::span<double> at(int64_t b, int64_t h, int64_t i) {
    return std::span(numbers).subspan(static_cast<size_t>(((b * heads + h) * length + i) * size),
                                      static_cast<size_t>(size));
  }
};

Tokens tokens_of(const Array& array, int64_t heads) {
  std::vector<double> numbers = array.to_doubles();
  if (array.rank() == 4) {
    return {array.dim(0), array.dim(1), array.dim(2), array.dim(3), std::move(numbers)};
  }
  Tokens all{array.dim(0), heads, array.dim(1), array.dim(2) / heads};
  all.numbers.resize(numbers.size());
  auto from = numbers.cbegin();
  for (int64_t b = 0; b < all.batch; ++b) {
    for (int64_t i = 0; i < all.length; ++i) {
      for (int64_t h = 0; h < heads; ++h, from += all.size) {
        std::copy_n(from, all.size, all.at(b, h, i).begin());
      }
    }
  }
  return all;
}

Tokens joined(Tokens past, Tokens now) {
  Tokens all{now.batch, now.heads, past.length + now.length, now.size};
  all.numbers.resize(past.numbers.size() + now.numbers.size());
  for (int64_t b = 0; b < all.batch; ++b) {
    for (int64_t h = 0; h < all.heads; ++h) {
      for (int64_t i = 0; i < all.length; ++i) {
        const auto from = i < past.length ? past.at(b, h, i) : now.at(b, h, i - past.length);
        std::ranges::copy(from, all.at(b, h, i).begin());
      }
    }
  }
  return all;
}

Result<void> store(const Evaluation& run, std::span<const double> numbers, Array& out) {
  return visit_float(run, out.type, [&]<class T>(T) -> Result<void> {
    std::ranges::transform(numbers, out.as<T>().begin(),
                           [](double number) { return static_cast<T>(number); });
    return {};
  });
}

// What is added to the scores of a query: 0 or −∞ of a mask that is BOOL.
struct Mask {
  std::vector<double> numbers = {};
  std::vector<int64_t> strides = std::vector<int64_t>(4, 0);

  double at(int64_t b, int64_t h, int64_t i, int64_t k) const {
    if (numbers.empty()) return 0;
    return numbers[static_cast<size_t>(b * strides[0] + h * strides[1] + i * strides[2] +
                                       k * strides[3])];
  }
};

Mask mask_of(const Evaluation& run, std::span<const int64_t> scores) {
  if (!run.has(kMask)) return {};
  Mask mask{run.in(kMask).to_doubles(), broadcast_strides(run.in(kMask).shape, scores)};
  if (run.in(kMask).type == DataType::kBool) {
    for (double& number : mask.numbers) {
      number = number != 0 ? 0 : -std::numeric_limits<double>::infinity();
    }
  }
  return mask;
}

void softmax(std::span<double> row) {
  const double largest = row.empty() ? 0 : std::ranges::max(row);
  if (largest == -std::numeric_limits<double>::infinity()) {
    std::ranges::fill(row, 0);
    return;
  }
  double sum = 0;
  for (double& x : row) sum += x = std::exp(x - largest);
  for (double& x : row) x /= sum;
}

int64_t heads_from(const Node& node, std::string_view attribute) {
  const Attribute* count = node.find(attribute);
  return count != nullptr ? std::get<int64_t>(*count) : 0;
}

class Attending {
 public:
  explicit Attending(Evaluation& run)
      : run_(run), q_(tokens_of(run.in(0), heads_from(run.node(), "q_num_heads"))) {
    const int64_t heads = heads_from(run.node(), "kv_num_heads");
    k_ = tokens_of(run.in(1), heads);
    v_ = tokens_of(run.in(2), heads);
    if (run.has(kPastKey)) {
      past_ = run.in(kPastKey).dim(2);
      k_ = joined(tokens_of(run.in(kPastKey), 0), std::move(k_));
      v_ = joined(tokens_of(run.in(kPastValue), 0), std::move(v_));
    }
    const Attribute* scale = run.node().find("scale");
    scale_ = scale != nullptr ? std::get<float>(*scale)
                              : 1 / std::sqrt(static_cast<double>(std::max<int64_t>(q_.size, 1)));
  }

  Result<void> run() {
    if (k_.length != v_.length) return run_.refuse("has other numbers of keys and of values");
    const std::vector<int64_t> shape = {q_.batch, q_.heads, q_.length, k_.length};
    const Mask mask = mask_of(run_, shape);
    Tokens out{q_.batch, q_.heads, q_.length, v_.size};
    out.numbers.resize(static_cast<size_t>(product(std::span(shape).first(3)) * v_.size));
    std::vector<double> shown;
    for (int64_t b = 0; b < q_.batch; ++b) {
      for (int64_t h = 0; h < q_.heads; ++h) {
        for (int64_t i = 0; i < q_.length; ++i) attend(b, h, i, mask, out.at(b, h, i), shown);
      }
    }
    if (run_.wants(kScores)) SKERRY_TRY(store(run_, shown, run_.out(kScores)));
    if (run_.wants(kPresentKey)) SKERRY_TRY(store(run_, k_.numbers, run_.out(kPresentKey)));
    if (run_.wants(kPresentValue)) SKERRY_TRY(store(run_, v_.numbers, run_.out(kPresentValue)));
    return store(run_, run_.in(0).rank() == 3 ? side_by_side(out) : out.numbers, run_.out(0));
  }

 private:
  // One query of one head.
  void attend(int64_t b, int64_t h, int64_t i, const Mask& mask, std::span<double> out,
              std::vector<double>& shown) {
    const bool causal = run_.node().int_of("is_causal") != 0;
    const double cap = run_.node().float_of("softcap");
    const auto show = static_cast<Stage>(run_.node().int_of("qk_matmul_output_mode"));
    const int64_t kv_head = h / (q_.heads / k_.heads);
    std::vector<double> row(static_cast<size_t>(k_.length));
    const auto look = [&](Stage stage) {
      if (stage == show && run_.wants(kScores)) shown.insert(shown.end(), row.begin(), row.end());
    };
    const auto query = q_.at(b, h, i);
    for (size_t k = 0; k < row.size(); ++k) {
      const auto key = k_.at(b, kv_head, static_cast<int64_t>(k));
      for (size_t d = 0; d < query.size(); ++d) row[k] += query[d] * key[d];
      row[k] *= scale_;
    }
    look(Stage::kScaled);
    for (double& x : row) x = cap > 0 ? std::tanh(x / cap) * cap : x;
    look(Stage::kCapped);
    for (size_t k = 0; k < row.size(); ++k) {
      const auto at = static_cast<int64_t>(k);
      row[k] += causal && at > i + past_ ? -std::numeric_limits<double>::infinity()
                                         : mask.at(b, h, i, at);
    }
    look(Stage::kMasked);
    softmax(row);
    look(Stage::kSoftmax);
    for (size_t k = 0; k < row.size(); ++k) {
      const auto value = v_.at(b, kv_head, static_cast<int64_t>(k));
      for (size_t d = 0; d < out.size(); ++d) out[d] += row[k] * value[d];
    }
  }

  // [batch, length, heads · size]
  static std::vector<double> side_by_side(Tokens& tokens) {
    std::vector<double> numbers;
    for (int64_t b = 0; b < tokens.batch; ++b) {
      for (int64_t i = 0; i < tokens.length; ++i) {
        for (int64_t h = 0; h < tokens.heads; ++h) {
          const auto head = tokens.at(b, h, i);
          numbers.insert(numbers.end(), head.begin(), head.end());
        }
      }
    }
    return numbers;
  }

  Evaluation& run_;
  Tokens q_, k_, v_;
  int64_t past_ = 0;
  double scale_ = 0;
};

Result<void> attention(Evaluation& run) {
  return Attending(run).run();
}

// Of both products, for every query of every head.
std::optional<int64_t> attention_macs(const Node& node) {
  const Type& q = node.input(0)->type();
  const auto queries = count_of(q);  // times the length of the keys
  const auto results = count_of(node.output(0)->type());
  const auto& k = node.input(1)->type().shape;
  if (!queries || !results || !k || k->size() < 3) return {};
  Dim length = (*k)[k->size() - 2];
  if (const Value* past = node.input(kPastKey); past != nullptr) {
    length = past->type().shape ? plus(length, (*past->type().shape)[2]) : Dim();
  }
  if (!length.is_fixed()) return {};
  return (*queries + *results) * length.size();
}

}  // namespace

std::span<const OperatorRow> attention_rows() {
  static const OperatorRow kRows[] = {
      {"Attention",
       "Q:f K:f V:f attn_mask? past_key?:f past_value?:f -> "
       "Y present_key? present_value? qk_matmul_output?",
       "is_causal:int=0 kv_num_heads:int q_num_heads:int qk_matmul_output_mode:int=0 scale:float "
       "softcap:float=0 softmax_precision:int",
       infer_attention, attention, attention_macs},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
