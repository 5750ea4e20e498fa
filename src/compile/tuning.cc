// Line by line, each with one spelling, and a digest that says whether all of them are there.
#include "compile/tuning.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/encoding.h"
#include "base/sha256.h"
#include "compile/toolchain.h"
#include "io/files.h"

namespace skerry::compile {
namespace {

constexpr std::string_view kTuningHead = "skerry tuning ";
constexpr std::string_view kVersion = "1";
constexpr std::string_view kDigest = "sha256 ";
constexpr size_t kMaxBytes = 1 << 20;
constexpr size_t kMaxLine = 400;

std::unexpected<Error> corrupt(const std::string& why) {
  return fail(Code::kCorrupt, "it is no tuning file, or not all of one: " + why);
}

// The next line without its end; absent behind the last one.
std::optional<std::string_view> take_line(std::string_view& text) {
  const size_t end = text.find('\n');
  if (end == text.npos || end > kMaxLine) return {};
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

// "NAME value".
Result<std::string> take_field(std::string_view& text, std::string_view name) {
  const auto line = take_line(text);
  const bool fits = line && line->starts_with(name) && line->size() > name.size() + 1 &&
                    (*line)[name.size()] == ' ';
  if (!fits) return corrupt(fmt::format("there is no line '{} …' where one belongs", name));
  return std::string(line->substr(name.size() + 1));
}

std::string microseconds_text(double us) {
  return fmt::format("{:.3f}", us);
}

std::optional<double> microseconds_of(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  constexpr double kLargest = 1e9;
  const bool fits = error == std::errc() && end == text.data() + text.size() && value >= 0 &&
                    value <= kLargest && microseconds_text(value) == text;
  return fits ? std::optional(value) : std::nullopt;
}

bool is_layer_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == ' ' || c == '%';
  });
}

std::string line_of(const std::string& name, const TunedLayer& layer) {
  return fmt::format("{}: {}, {} us, {} us before", name, layer.way.text(),
                     microseconds_text(layer.us), microseconds_text(layer.usual_us));
}

std::optional<std::pair<std::string, TunedLayer>> layer_of(std::string_view line) {
  const size_t colon = line.find(": ");
  if (colon == line.npos || !is_layer_name(line.substr(0, colon))) return {};
  const std::string name(line.substr(0, colon));
  std::string_view rest = line.substr(colon + 2);
  const auto take = [&](std::string_view end) {
    const size_t at = rest.find(end);
    const std::string_view word = rest.substr(0, at);
    rest.remove_prefix(at == rest.npos ? rest.size() : at + end.size());
    return word;
  };
  const auto way = parse_way(take(", "));
  const auto us = microseconds_of(take(" us, ")), usual_us = microseconds_of(take(" us before"));
  if (!way || !us || !usual_us || !rest.empty()) return {};
  TunedLayer layer{*way, *us, *usual_us};
  if (line_of(name, layer) != line) return {};
  return std::pair(name, std::move(layer));
}

}  // namespace

WaysByLayer Tuning::ways() const {
  WaysByLayer result;
  for (const auto& [name, layer] : layers) result.emplace(name, layer.way);
  return result;
}

std::string to_text(const Tuning& tuning) {
  std::string text = fmt::format("{}{}\ntarget {}\nmachine {}\nkernels {}\n", kTuningHead, kVersion,
                                 tuning.target, tuning.machine, tuning.kernels);
  for (const auto& [name, layer] : tuning.layers) text += line_of(name, layer) + "\n";
  return text + std::string(kDigest) + hex_encode(sha256(text)) + "\n";
}

Result<Tuning> parse_tuning(std::string_view text) {
  if (text.size() > kMaxBytes) return corrupt("it is larger than 1 MiB");
  if (!text.starts_with(kTuningHead)) return corrupt("it does not begin with 'skerry tuning'");
  const std::string_view all = text;
  const auto head = take_line(text);
  if (!head) return corrupt("its first line has no end");
  if (head->substr(kTuningHead.size()) != kVersion) {
    return fail(Code::kUnsupported, fmt::format("it is a tuning file of another version than {}: "
                                                "tune again with this program",
                                                kVersion));
  }
  // What has changed is found before it is read.
  const size_t digest = all.rfind(kDigest);
  const bool has_digest =
      digest != all.npos && digest > 0 && all[digest - 1] == '\n' &&
      all.substr(digest) == std::string(kDigest) + hex_encode(sha256(all.substr(0, digest))) + "\n";
  if (!has_digest) return corrupt("its last line is not the digest of those before");
  Tuning tuning;
  SKERRY_ASSIGN(tuning.target, take_field(text, "target"));
  SKERRY_ASSIGN(tuning.machine, take_field(text, "machine"));
  SKERRY_ASSIGN(tuning.kernels, take_field(text, "kernels"));
  std::string last;
  while (!text.starts_with(kDigest)) {
    const auto line = take_line(text);
    auto layer = line ? layer_of(*line) : std::nullopt;
    if (!layer) {
      return corrupt(fmt::format("what follows the layer '{}' is no layer with its way", last));
    }
    if (layer->first <= last) return corrupt("its layers are not in order: " + layer->first);
    last = layer->first;
    tuning.layers.emplace_hint(tuning.layers.end(), std::move(*layer));
  }
  return tuning;
}

Result<Tuning> read_tuning(const std::string& path) {
  io::RealFiles files;
  SKERRY_ASSIGN(const std::string text, io::read_file(files, path, kMaxBytes));
  auto tuning = parse_tuning(text);
  if (!tuning) return fail(tuning.error().with_context(path));
  return tuning;
}

std::string kernels_version() {
  Sha256 all;
  for (const EmbeddedFile& file : embedded_files()) all.update(file.content);
  return hex_encode(all.finish()).substr(0, 12);
}

}  // namespace skerry::compile
