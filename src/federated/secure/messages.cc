// One reader for all: it goes wrong once, and stays so.
#include "federated/secure/messages.h"

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "federated/secure/agreement.h"
#include "federated/secure/neighbours.h"

namespace skerry::federated::secure {
namespace {

using nlohmann::json;

constexpr size_t kShareBytes = 1 + kKeyBytes;
constexpr size_t kMostSealedBytes = 256;
constexpr size_t kMostCertificateBytes = 8 << 10;
constexpr size_t kMostSignatureBytes = 1 << 10;
constexpr double kMostIndex = 1e6;
constexpr double kLongestStepWaitS = 600;

struct Name {
  StepKind kind;
  const char* name;
};
constexpr Name kNames[] = {{StepKind::kWait, "wait"},     {StepKind::kKeys, "keys"},
                           {StepKind::kShares, "shares"}, {StepKind::kUpdate, "update"},
                           {StepKind::kUnmask, "unmask"}, {StepKind::kDone, "done"}};

const char* name_of(StepKind kind) {
  for (const Name& one : kNames) {
    if (one.kind == kind) return one.name;
  }
  return "wait";
}

class MessageReader {
 public:
  explicit MessageReader(const json& document) : document_(document) {}

  StepKind kind() {
    const std::string text = string("step", 16);
    for (const Name& one : kNames) {
      if (text == one.name) return one.kind;
    }
    ok_ = false;
    return StepKind::kWait;
  }
  std::string string(const char* name, size_t most) {
    const json* found = find(name);
    if (found == nullptr || !found->is_string()) return miss();
    const auto& text = found->get_ref<const std::string&>();
    return text.size() <= most ? text : miss();
  }
  std::string bytes(const char* name, size_t least, size_t most) {
    auto decoded = base64_decode(string(name, most * 2 + 4));
    if (!decoded || decoded->size() < least || decoded->size() > most) return miss();
    return std::move(*decoded);
  }
  double number(const char* name, double most) {
    const json* found = find(name);
    const double value = found != nullptr && found->is_number() ? found->get<double>() : -1;
    if (!(value >= 0 && value <= most)) miss();
    return value;
  }
  size_t index(const char* name) { return index_in(find(name)); }
  std::vector<size_t> indices(const char* name) {
    std::vector<size_t> all;
    for (const json& one : list(name)) all.push_back(index_in(&one));
    return all;
  }
  // `read(reader)` of each object of a list of at most kMostPeers and the device itself.
  template <class Read>
  auto each(const char* name, Read read) {
    std::vector<decltype(read(*this))> all;
    for (const json& one : list(name)) {
      MessageReader inner(one);
      all.push_back(read(inner));
      if (!inner.ok_) ok_ = false;
    }
    return all;
  }
  bool ok() const { return ok_; }

 private:
  std::string miss() {
    ok_ = false;
    return "";
  }
  const json* find(const char* name) {
    if (!document_.is_object()) return nullptr;
    const auto found = document_.find(name);
    return found != document_.end() ? &*found : nullptr;
  }
  size_t index_in(const json* one) {
    if (one == nullptr || !one->is_number_unsigned() || one->get<double>() > kMostIndex) {
      miss();
      return 0;
    }
    return one->get<size_t>();
  }
  const json& list(const char* name) {
    static const json kNone = json::array();
    const json* found = find(name);
    if (found != nullptr && found->is_array() && found->size() <= kMostPeers + 1) return *found;
    ok_ = false;
    return kNone;
  }

  const json& document_;
  bool ok_ = true;
};

Announcement read_keys(MessageReader& reader) {
  return {.sealing_key = reader.bytes("sealingKey", kKeyBytes, kKeyBytes),
          .mask_key = reader.bytes("maskKey", kKeyBytes, kKeyBytes),
          .seed_digest = reader.bytes("seedDigest", kKeyBytes, kKeyBytes),
          .certificate = reader.string("certificate", kMostCertificateBytes),
          .signature = reader.bytes("signature", 0, kMostSignatureBytes)};
}

json to_json(const Announcement& keys) {
  return {{"sealingKey", base64_encode(keys.sealing_key)},
          {"maskKey", base64_encode(keys.mask_key)},
          {"seedDigest", base64_encode(keys.seed_digest)},
          {"certificate", keys.certificate},
          {"signature", base64_encode(keys.signature)}};
}

std::vector<SealedShares> read_sealed(MessageReader& reader) {
  return reader.each("shares", [](MessageReader& one) {
    return SealedShares{.peer = one.index("peer"),
                        .sealed = one.bytes("sealed", 1, kMostSealedBytes)};
  });
}

json to_json(const std::vector<SealedShares>& shares) {
  json list = json::array();
  for (const SealedShares& one : shares) {
    list.push_back({{"peer", one.peer}, {"sealed", base64_encode(one.sealed)}});
  }
  return list;
}

std::vector<OpenedShare> read_opened(MessageReader& reader, const char* name) {
  return reader.each(name, [](MessageReader& one) {
    return OpenedShare{.of = one.index("of"),
                       .share = one.bytes("share", kShareBytes, kShareBytes)};
  });
}

json to_json(const std::vector<OpenedShare>& shares) {
  json list = json::array();
  for (const OpenedShare& one : shares) {
    list.push_back({{"of", one.of}, {"share", base64_encode(one.share)}});
  }
  return list;
}

}  // namespace

std::string signed_text(const Announcement& keys, const std::string& training, size_t attempt) {
  return "skerry secure aggregation 1\n" + training + "\n" + std::to_string(attempt) + "\n" +
         base64_encode(keys.sealing_key) + "\n" + base64_encode(keys.mask_key) + "\n" +
         base64_encode(keys.seed_digest) + "\n";
}

json to_json(const Step& step) {
  json document = {{"step", name_of(step.kind)}};
  if (step.kind == StepKind::kWait) document["retryAfterSeconds"] = step.retry_after_s;
  if (step.kind == StepKind::kShares) {
    document["self"] = step.self;
    document["threshold"] = step.threshold;
    document["peers"] = json::array();
    for (const Peer& peer : step.peers) {
      json one = to_json(peer.keys);
      one["index"] = peer.index;
      document["peers"].push_back(std::move(one));
    }
  }
  if (step.kind == StepKind::kUpdate) document["shares"] = to_json(step.shares);
  if (step.kind == StepKind::kUnmask) {
    document["alive"] = step.alive;
    document["dropped"] = step.dropped;
  }
  return document;
}

Result<Step> parse_step(std::string_view text) {
  const json document = text.size() <= kMostStepBytes ? json::parse(text, nullptr, false) : json();
  MessageReader reader(document);
  Step step{.kind = reader.kind()};
  if (step.kind == StepKind::kWait) {
    step.retry_after_s = reader.number("retryAfterSeconds", kLongestStepWaitS);
  } else if (step.kind == StepKind::kShares) {
    step.self = reader.index("self");
    step.threshold = reader.index("threshold");
    step.peers = reader.each("peers", [](MessageReader& one) {
      return Peer{.index = one.index("index"), .keys = read_keys(one)};
    });
  } else if (step.kind == StepKind::kUpdate) {
    step.shares = read_sealed(reader);
  } else if (step.kind == StepKind::kUnmask) {
    step.alive = reader.indices("alive");
    step.dropped = reader.indices("dropped");
  }
  if (reader.ok()) return step;
  return fail(Code::kInvalidArgument, "this is no step of secure aggregation that is known here");
}

json to_json(const Said& said) {
  json document = said.kind == StepKind::kKeys ? to_json(said.keys) : json::object();
  document["step"] = name_of(said.kind);
  if (said.kind == StepKind::kShares) document["shares"] = to_json(said.shares);
  if (said.kind == StepKind::kUnmask) {
    document["seeds"] = to_json(said.seeds);
    document["maskKeys"] = to_json(said.mask_keys);
  }
  return document;
}

Result<Said> parse_said(std::string_view text) {
  const json document = text.size() <= kMostSaidBytes ? json::parse(text, nullptr, false) : json();
  MessageReader reader(document);
  Said said{.kind = reader.kind()};
  bool is_answer = true;
  if (said.kind == StepKind::kKeys) {
    said.keys = read_keys(reader);
  } else if (said.kind == StepKind::kShares) {
    said.shares = read_sealed(reader);
  } else if (said.kind == StepKind::kUnmask) {
    said.seeds = read_opened(reader, "seeds");
    said.mask_keys = read_opened(reader, "maskKeys");
  } else {
    is_answer = false;
  }
  if (is_answer && reader.ok()) return said;
  return fail(Code::kInvalidArgument, "this is no answer to a step of secure aggregation");
}

}  // namespace skerry::federated::secure
