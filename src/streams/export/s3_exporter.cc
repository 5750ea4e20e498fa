// A file's way: looked at, digested and read on the pool, sent piece by piece.
#include "streams/export/s3_exporter.h"

#include <algorithm>
#include <utility>

#include "base/encoding.h"
#include "base/sha256.h"

namespace skerry::streams {
namespace {

constexpr uint64_t kPartBytes = 5 << 20;
constexpr uint64_t kMostParts = 10'000;
constexpr size_t kPieceBytes = 256 << 10;

std::string target_of(const S3Task& task) {
  return "/" + task.bucket + "/" + net::percent_encode(task.key, "/");
}

// Of the first element of that name; enough for answers that have one.
std::string element(const std::string& xml, const std::string& name) {
  const size_t begin = xml.find("<" + name + ">");
  const size_t end = xml.find("</" + name + ">", begin);
  if (begin == std::string::npos || end == std::string::npos) return "";
  const size_t text = begin + name.size() + 2;
  return xml.substr(text, end - text);
}

// Most of what S3 answers with status 400 says nothing of the object: it may go better later.
Result<void> check_s3_answer(const net::HttpResponse& response) {
  auto checked = check_answer(response, "S3");
  if (checked || checked.error().code() != Code::kInvalidArgument) return checked;
  const std::string code = element(response.body, "Code");
  for (const char* content : {"EntityTooLarge", "KeyTooLongError", "InvalidBucketName",
                              "MetadataTooLarge", "InvalidURI"}) {
    if (code == content) return checked;
  }
  return fail(Code::kFailedPrecondition, checked.error().message());
}

}  // namespace

// An open file, used on the pool one piece at a time. Shared with what runs there.
class S3Exporter::Source {
 public:
  static Result<std::shared_ptr<Source>> open(io::Files& files, const std::string& path) {
    auto source = std::make_shared<Source>();
    const auto info = files.stat(path);
    if (!info || !info->is_regular) {
      return fail(Code::kInvalidArgument, path + " is no file that can be read" +
                                              (info ? "" : ": " + info.error().message()));
    }
    source->info_ = *info;
    auto file = files.open(path, io::OpenMode::kRead, 0);
    if (!file) return fail(Code::kInvalidArgument, file.error().message());
    source->file_ = std::move(*file);
    return source;
  }
  uint64_t size_bytes() const { return info_.size_bytes; }
  bool is_same(const io::FileInfo& other) const {
    return info_.inode == other.inode && info_.size_bytes == other.size_bytes &&
           info_.modified_ns == other.modified_ns;
  }
  const io::FileInfo& info() const { return info_; }
  Result<std::string> read(uint64_t offset, size_t size) { return file_->read_at(offset, size); }
  Result<std::string> digest(uint64_t offset, uint64_t bytes) {
    Sha256 digest;
    while (bytes > 0) {
      const auto size = static_cast<size_t>(std::min<uint64_t>(bytes, kPieceBytes));
      SKERRY_ASSIGN(const std::string piece, read(offset, size));
      if (piece.size() < size) return fail(Code::kUnavailable, "the file became shorter meanwhile");
      digest.update(piece);
      offset += size;
      bytes -= size;
    }
    return hex_encode(digest.finish());
  }

 private:
  io::FileInfo info_;
  std::unique_ptr<io::File> file_;
};

struct S3Exporter::Upload {
  int64_t sequence;
  io::FileInfo file;
  std::string id;
  std::vector<std::string> etags;
};

S3Exporter::S3Exporter(const io::Env& env, AwsSession& session, ExportConfig config, Append append)
    : env_(env), session_(session), config_(std::move(config)), append_(std::move(append)) {}

S3Exporter::~S3Exporter() = default;

io::Task<Result<size_t>> S3Exporter::send(const ExportBatch& batch, Uplink::Transfer& line) {
  const Message& message = batch.messages.front();
  const auto task = parse_s3_task(message.payload, message.ingest_ms);
  Result<void> uploaded;
  if (task) {
    if (told_.empty()) co_await report(batch, TaskStatus::kInProgress, "the upload begins");
    uploaded = co_await upload(message.sequence, *task, line);
  } else {
    uploaded = fail(task.error());
  }
  if (uploaded) {
    co_await report(batch, TaskStatus::kSuccess, "uploaded");
  } else if (uploaded.error().code() == Code::kInvalidArgument) {
    co_await report(batch, TaskStatus::kFailure, uploaded.error().message());
  } else if (std::exchange(told_, uploaded.error().message()) != uploaded.error().message()) {
    co_await report(batch, TaskStatus::kWarning,
                    uploaded.error().message() + "; it is tried again");
  }
  if (!uploaded) co_return fail(uploaded.error());
  co_return 1;
}

io::Task<void> S3Exporter::report(const ExportBatch& batch, TaskStatus status, std::string text) {
  if (status != TaskStatus::kWarning) told_.clear();
  if (!config_.status_stream || level_of(status) > config_.status_level) co_return;
  const Message& message = batch.messages.front();
  const StatusContext context{batch.stream, config_.identifier, message.sequence, message.payload};
  // A status stream that is full or gone holds up no upload.
  (void)co_await append_(*config_.status_stream,
                         status_message(status, text, context, env_.clock.wall_ms()));
}

io::Task<Result<void>> S3Exporter::upload(int64_t sequence, const S3Task& task,
                                          Uplink::Transfer& line) {
  SKERRY_CO_ASSIGN(auto source, co_await io::run_on(env_.pool, env_.loop,
                                                    [&files = env_.files, path = task.path] {
                                                      return Source::open(files, path);
                                                    }));
  if (source->size_bytes() <= static_cast<uint64_t>(config_.multipart_above_bytes)) {
    co_return co_await put_whole(task, std::move(source), line);
  }
  if (upload_ && (upload_->sequence != sequence || !source->is_same(upload_->file))) {
    upload_.reset();
  }
  if (!upload_) {
    net::HttpRequest begin{.method = "POST", .target = target_of(task) + "?uploads="};
    for (const auto& [name, value] : task.metadata) {
      begin.headers.add("x-amz-meta-" + name, value);
    }
    SKERRY_CO_ASSIGN(const auto answer, co_await call(std::move(begin), line));
    const std::string id = element(answer.body, "UploadId");
    if (id.empty()) co_return fail(Code::kUnavailable, "S3 gave no UploadId");
    upload_ = std::make_unique<Upload>(Upload{sequence, source->info(), id, {}});
  }
  auto done = co_await put_parts(task, std::move(source), line);
  // Where the service knows nothing of it (any more) it begins anew.
  const bool is_gone = !done && done.error().message().contains("NoSuchUpload");
  if (done || is_gone) upload_.reset();
  co_return done;
}

io::Task<Result<void>> S3Exporter::put_whole(const S3Task& task, std::shared_ptr<Source> source,
                                             Uplink::Transfer& line) {
  const uint64_t bytes = source->size_bytes();
  SKERRY_CO_ASSIGN(const std::string digest,
                   co_await io::run_on(env_.pool, env_.loop,
                                       [source, bytes] { return source->digest(0, bytes); }));
  net::HttpRequest request{.method = "PUT", .target = target_of(task)};
  request.headers.add("X-Amz-Content-Sha256", digest);
  for (const auto& [name, value] : task.metadata) {
    request.headers.add("x-amz-meta-" + name, value);
  }
  SKERRY_CO_TRY(
      co_await call(std::move(request), line, body_of(std::move(source), 0, bytes, line)));
  co_return Result<void>();
}

io::Task<Result<void>> S3Exporter::put_parts(const S3Task& task, std::shared_ptr<Source> source,
                                             Uplink::Transfer& line) {
  const uint64_t size = source->size_bytes();
  const uint64_t part_bytes = std::max(kPartBytes, (size + kMostParts - 1) / kMostParts);
  const std::string id = "uploadId=" + net::percent_encode(upload_->id);
  for (uint64_t offset = upload_->etags.size() * part_bytes; offset < size; offset += part_bytes) {
    const std::string part = std::to_string(upload_->etags.size() + 1);
    SKERRY_CO_ASSIGN(std::string etag,
                     co_await put_part(target_of(task) + "?partNumber=" + part + "&" + id, source,
                                       offset, std::min(part_bytes, size - offset), line));
    upload_->etags.push_back(std::move(etag));
    co_await line.yield();
  }
  std::string body = "<CompleteMultipartUpload>";
  for (size_t i = 0; i < upload_->etags.size(); ++i) {
    body += "<Part><PartNumber>" + std::to_string(i + 1) + "</PartNumber><ETag>" +
            upload_->etags[i] + "</ETag></Part>";
  }
  net::HttpRequest complete{.method = "POST",
                            .target = target_of(task) + "?" + id,
                            .body = body + "</CompleteMultipartUpload>"};
  SKERRY_CO_ASSIGN(const auto answer, co_await call(std::move(complete), line));
  // This one may fail after its head has said 200.
  if (answer.body.contains("<Error>")) {
    co_return fail(Code::kUnavailable,
                   "S3 could not put the parts together: " + element(answer.body, "Code"));
  }
  co_return Result<void>();
}

io::Task<Result<std::string>> S3Exporter::put_part(const std::string& target,
                                                   std::shared_ptr<Source> source, uint64_t offset,
                                                   uint64_t bytes, Uplink::Transfer& line) {
  SKERRY_CO_ASSIGN(const std::string digest, co_await io::run_on(env_.pool, env_.loop, [=] {
                     return source->digest(offset, bytes);
                   }));
  net::HttpRequest request{.method = "PUT", .target = target};
  request.headers.add("X-Amz-Content-Sha256", digest);
  SKERRY_CO_ASSIGN(
      const auto answer,
      co_await call(std::move(request), line, body_of(std::move(source), offset, bytes, line)));
  const std::string_view etag = answer.headers.get("ETag");
  if (etag.empty() || etag.find_first_of("<>&") != std::string_view::npos) {
    co_return fail(Code::kUnavailable, "S3 gave no ETag for a part");
  }
  co_return std::string(etag);
}

io::Task<Result<net::HttpResponse>> S3Exporter::call(net::HttpRequest request,
                                                     Uplink::Transfer& line, RequestBody body) {
  SKERRY_CO_ASSIGN(auto answer,
                   co_await session_.send("s3", std::move(request), line, std::move(body)));
  SKERRY_CO_TRY(check_s3_answer(answer));
  co_return answer;
}

// Reads at the pace of `line`.
RequestBody S3Exporter::body_of(std::shared_ptr<Source> source, uint64_t offset, uint64_t bytes,
                                Uplink::Transfer& line) {
  RequestBody body;
  body.bytes = bytes;
  body.read = [this, source = std::move(source), offset, bytes, &line](uint64_t at) {
    const auto size = static_cast<size_t>(std::min<uint64_t>(bytes - at, line.piece_bytes()));
    return read_paced(env_, source, offset + at, size, line);
  };
  return body;
}

io::Task<Result<std::string>> S3Exporter::read_paced(const io::Env& env,
                                                     std::shared_ptr<Source> source,
                                                     uint64_t offset, size_t size,
                                                     Uplink::Transfer& line) {
  co_await line.pace(size);
  co_return co_await io::run_on(env.pool, env.loop,
                                [source, offset, size] { return source->read(offset, size); });
}

}  // namespace skerry::streams
