// Packages on disk: their names, the list of their contents, and whether they still are as listed.
#include "formats/package.h"

#include <charconv>

#include "base/encoding.h"

namespace skerry::formats {
namespace {

constexpr size_t kDigestDigits = 32;
constexpr std::string_view kHeader = "skerry package 1\n";
constexpr uint64_t kMaxContentsBytes = 64 << 20;
constexpr size_t kPieceBytes = 4 << 20;
constexpr int kLooksInAStep = 256;

// Cuts the part up to the next `end` off `text`.
std::string_view take(std::string_view& text, char end) {
  const size_t at = std::min(text.find(end), text.size());
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return part;
}

template <class Number>
bool read(std::string_view text, Number& number) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

}  // namespace

std::string package_digest(std::string_view recipe) {
  return hex_encode(sha256(recipe)).substr(0, kDigestDigits);
}

std::string PackageContents::text() const {
  std::string out(kHeader);
  for (const auto& [path, file] : files) {
    out += file.sha256 + ' ' + std::to_string(file.size_bytes) + ' ' +
           std::to_string(file.modified_ns) + ' ' + std::to_string(file.inode) + ' ' + path + '\n';
  }
  return out;
}

Result<PackageContents> PackageContents::parse(std::string_view text) {
  if (!text.starts_with(kHeader)) {
    return fail(Code::kCorrupt, "a package's contents must start with \"skerry package 1\"");
  }
  text.remove_prefix(kHeader.size());
  PackageContents contents;
  while (!text.empty()) {
    std::string_view line = take(text, '\n');
    PackageFile file;
    file.sha256 = take(line, ' ');
    const bool good = file.sha256.size() == 64 && read(take(line, ' '), file.size_bytes) &&
                      read(take(line, ' '), file.modified_ns) &&
                      read(take(line, ' '), file.inode) && !line.empty();
    if (!good) return fail(Code::kCorrupt, "a line of a package's contents is damaged");
    contents.files[std::string(line)] = std::move(file);
  }
  return contents;
}

PackageChecker::PackageChecker(io::Files& files, std::string directory, How how)
    : files_(files), directory_(std::move(directory)), how_(how), next_(contents_.files.end()) {}

void PackageChecker::add(std::string path, std::string problem) {
  if (faults_.size() < kMaxFaults) faults_.push_back({std::move(path), std::move(problem)});
}

// False where there is nothing more to look at.
Result<bool> PackageChecker::begin() {
  auto text = io::read_file(files_, directory_ + "/" + kPackageContents, kMaxContentsBytes);
  if (!text && text.error().code() != Code::kNotFound) return fail(text.error());
  auto contents = text ? PackageContents::parse(*text)
                       : Result<PackageContents>(fail(Code::kNotFound, "is missing"));
  if (!contents) {
    add(kPackageContents, contents.error().message());
    return false;
  }
  contents_ = std::move(*contents);
  next_ = contents_.files.begin();
  // What names the package must be in it, and be what named it.
  auto recipe = contents_.files.find(kPackageRecipe);
  if (recipe == contents_.files.end() ||
      !directory_.ends_with("@" + recipe->second.sha256.substr(0, kDigestDigits))) {
    add(kPackageRecipe, "is not the one that the package is named after");
    return false;
  }
  return true;
}

Result<bool> PackageChecker::step() {
  if (!std::exchange(begun_, true)) return begin();
  for (int looks = 0; looks < kLooksInAStep && next_ != contents_.files.end(); ++looks) {
    if (!file_) SKERRY_TRY(look_at_next());
    if (file_) {
      SKERRY_ASSIGN(const bool more, hash_piece());
      if (more) return true;
    }
    ++next_;
  }
  return next_ != contents_.files.end();
}

// Leaves the file open where its bytes are to be looked at.
Result<void> PackageChecker::look_at_next() {
  auto& [path, file] = *next_;
  const std::string full_path = directory_ + "/" + path;
  auto info = files_.stat(full_path);
  if (!info && info.error().code() == Code::kNotFound) {
    add(path, "is missing");
  } else if (!info) {
    return fail(info.error());
  } else if (!info->is_regular) {
    add(path, "is not a file");
  } else if (info->size_bytes != file.size_bytes) {
    add(path, "has " + std::to_string(info->size_bytes) + " bytes instead of " +
                  std::to_string(file.size_bytes));
  } else if (how_ == How::kFull) {
    SKERRY_ASSIGN(file_, files_.open(full_path, io::OpenMode::kRead));
    file.modified_ns = info->modified_ns;
    file.inode = info->inode;
    hashed_bytes_ = 0;
    hash_ = Sha256();
  } else if (info->modified_ns != file.modified_ns || info->inode != file.inode) {
    add(path, "was touched or replaced");
  }
  return {};
}

// False once the file is done.
Result<bool> PackageChecker::hash_piece() {
  SKERRY_ASSIGN(const std::string bytes, file_->read_at(hashed_bytes_, kPieceBytes));
  hash_.update(bytes);
  hashed_bytes_ += bytes.size();
  if (!bytes.empty() && hashed_bytes_ < next_->second.size_bytes) return true;
  file_.reset();
  if (hex_encode(hash_.finish()) != next_->second.sha256) add(next_->first, "has other bytes");
  return false;
}

}  // namespace skerry::formats
