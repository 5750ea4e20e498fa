// Direct while all is well; through the disk from the first message that has to wait until the last
// of them has gone.
#include "nucleus/spool.h"

#include <algorithm>

#include "base/log.h"

namespace skerry::nucleus {
namespace {

constexpr std::string_view kModule = "spool";
constexpr size_t kWindow = 32;  // with the client at a time
constexpr size_t kWindowBytes = 256 << 10;
constexpr size_t kBatch = 256;  // of one write
constexpr size_t kBatchBytes = 1 << 20;
// What may wait in memory, for the broker or for the disk.
constexpr size_t kDirect = 1'000;
constexpr size_t kDirectBytes = 1 << 20;
constexpr size_t kPendingBytes = 2 << 20;
constexpr size_t kOverheadBytes = 256;
constexpr int64_t kRetryMs = 1'000;
constexpr int kOpens = 5;  // a second apart, before messages go past a disk that cannot be read

size_t size_of(const net::MqttMessage& message) {
  return message.topic.size() + message.payload.size() + kOverheadBytes;
}

}  // namespace

Spool::Spool(io::Env& env, MqttRouter& mqtt, std::string directory, SpoolOptions options)
    : env_(env), mqtt_(mqtt), directory_(std::move(directory)), options_(options) {
  watch_ = mqtt_.watch_connection([this](bool connected) { on_connection(connected); });
}

void Spool::start() {
  if (options_.on_disk) tasks_.spawn(write());
}

template <class Work>
auto Spool::on_disk(Work work) {
  return io::run_on(env_.records, env_.loop,
                    [store = store_, work = std::move(work)]() mutable { return work(*store); });
}

// --- In -----------------------------------------------------------------------------------------

Result<void> Spool::publish(net::MqttMessage message, Done settled) {
  SKERRY_TRY(net::check_mqtt_message(message, net::MqttOptions().max_packet_bytes));
  if (message.payload.size() > options_.max_bytes) {
    return fail(Code::kResourceExhausted, "Message is larger than the size of message spool.");
  }
  if (message.qos == 0) return publish_unkept(std::move(message), std::move(settled));
  if (!options_.on_disk) {
    return mqtt_.publish(MqttRouter::Sender::kComponent, std::move(message), std::move(settled));
  }
  const size_t bytes = size_of(message);
  auto flight = std::make_shared<Flight>();
  flight->message = std::move(message);
  flight->since_ms = env_.clock.monotonic_ms();
  if (may_go_directly()) {
    SKERRY_TRY(hand(flight));
    flight->settled = std::move(settled);
    direct_bytes_ += bytes;
    direct_.push_back(std::move(flight));
    watch_direct();
    return {};
  }
  if (pending_bytes_ + bytes > kPendingBytes) {
    return fail(Code::kResourceExhausted, "Message spool is full. Message could not be added.");
  }
  flight->settled = std::move(settled);
  spill();  // those before it are before it on the disk, too
  pending_bytes_ += bytes;
  pending_.push_back(std::move(flight));
  tasks_.spawn(write());
  return {};
}

// A spool that cannot be opened for long keeps nobody from a broker that is there: what it has kept
// comes later then, out of its order.
bool Spool::cannot_open() const {
  return !store_ && failed_opens_ >= kOpens;
}

bool Spool::may_go_directly() const {
  const bool drained = store_ ? handed_.empty() && next_to_hand_ == end_ : cannot_open();
  return drained && !writing_ && pending_.empty() && mqtt_.connected() &&
         direct_.size() < kDirect && direct_bytes_ < kDirectBytes;
}

Result<void> Spool::hand(const FlightPtr& flight) {
  SKERRY_TRY(mqtt_.send(flight->message, [this, alive = alive_, flight](const Error* error) {
    if (*alive) on_answer(flight, error);
  }));
  flight->handed = true;
  return {};
}

void Spool::settle(Flight& flight, const Error* error) {
  if (auto settled = std::exchange(flight.settled, {})) settled(error);
}

void Spool::on_answer(const FlightPtr& flight, const Error* error) {
  flight->answered = true;
  if (error && !flight->settled) drop("the broker refuses a message that was kept", *error);
  if (const auto direct = std::ranges::find(direct_, flight); direct != direct_.end()) {
    direct_bytes_ -= size_of(flight->message);
    direct_.erase(direct);
  }
  settle(*flight, error);
  trim();
}

// A broker that takes its time is as good as none.
void Spool::watch_direct() {
  if (direct_.empty() || std::exchange(watches_direct_, true)) return;
  const int64_t at_ms = direct_.front()->since_ms + options_.settle_ms;
  direct_timer_ = env_.loop.after(std::max<int64_t>(0, at_ms - env_.clock.monotonic_ms()), [this] {
    watches_direct_ = false;
    if (direct_.empty()) return;
    if (env_.clock.monotonic_ms() - direct_.front()->since_ms >= options_.settle_ms) return spill();
    watch_direct();
  });
}

// From memory to the disk, in order. The client has them as well, and sends them first.
void Spool::spill() {
  for (FlightPtr& flight : direct_) {
    pending_bytes_ += size_of(flight->message);
    pending_.push_back(std::move(flight));
  }
  direct_.clear();
  direct_bytes_ = 0;
  if (!pending_.empty()) tasks_.spawn(write());
}

void Spool::on_connection(bool connected) {
  if (!connected) return spill();
  send_unkept();
  tasks_.spawn(pump());
}

// --- QoS 0 --------------------------------------------------------------------------------------

Result<void> Spool::publish_unkept(net::MqttMessage message, Done settled) {
  if (mqtt_.connected() && unkept_.empty()) {
    return mqtt_.publish(MqttRouter::Sender::kComponent, std::move(message), std::move(settled));
  }
  if (!options_.keeps_qos0) {
    return fail(Code::kUnavailable,
                "not connected to the broker, and mqtt.spooler.keepQos0WhenOffline is not set");
  }
  const size_t bytes = size_of(message);
  const auto room = [&] {
    return static_cast<uint64_t>(stored_bytes_) + unkept_bytes_ + bytes <= options_.max_bytes;
  };
  while (!unkept_.empty() && !room()) {
    unkept_bytes_ -= size_of(unkept_.front());
    unkept_.pop_front();
  }
  if (!room()) {
    return fail(Code::kResourceExhausted, "Message spool is full. Message could not be added.");
  }
  unkept_bytes_ += bytes;
  unkept_.push_back(std::move(message));
  env_.loop.post([settled = std::move(settled)] { settled(nullptr); });
  return {};
}

void Spool::send_unkept() {
  while (mqtt_.connected() && !unkept_.empty()) {
    const Result<void> sent = mqtt_.send(unkept_.front(), {});
    if (!sent && sent.error().code() == Code::kResourceExhausted) {
      retry_ = env_.loop.after(kRetryMs, [this] { on_connection(mqtt_.connected()); });
      return;
    }
    if (!sent) drop("a message of QoS 0 is not sent", sent.error());
    unkept_bytes_ -= size_of(unkept_.front());
    unkept_.pop_front();
  }
}

// --- To the disk --------------------------------------------------------------------------------

io::Task<bool> Spool::open() {
  if (store_) co_return true;
  auto opened =
      co_await io::run_on(env_.records, env_.loop,
                          [files = &env_.files, directory = directory_, most = options_.max_bytes] {
                            return SpoolStore::open(*files, directory, most);
                          });
  if (!opened) {
    ++failed_opens_;
    failures_.write(log::Level::kError, kModule, "messages cannot be kept",
                    {{"reason", opened.error().message()}});
    open_timer_ = env_.loop.after(kRetryMs, [this] { tasks_.spawn(write()); });
    co_return false;
  }
  store_ = std::move(*opened);
  if (!store_->damaged().empty())
    log::warn(kModule, "the spool was damaged", {{"what", store_->damaged()}});
  next_to_hand_ = marked_ = store_->next();
  end_ = store_->end();
  stored_bytes_ = store_->bytes();
  if (end_ > marked_) {
    log::info(kModule, "messages of an earlier run wait for the broker",
              {{"messages", std::to_string(end_ - marked_)}});
  }
  co_return true;
}

io::Task<void> Spool::write() {
  if (std::exchange(writing_, true)) co_return;
  const bool is_open = co_await open();
  while (!pending_.empty() && (is_open || cannot_open())) {
    std::vector<FlightPtr> batch;
    std::vector<std::string> messages;
    size_t bytes = 0;
    while (!pending_.empty() && batch.size() < kBatch && bytes < kBatchBytes) {
      FlightPtr flight = std::move(pending_.front());
      pending_.pop_front();
      pending_bytes_ -= size_of(flight->message);
      if (flight->answered) continue;
      messages.push_back(spooled_bytes(flight->message));
      bytes += messages.back().size();
      batch.push_back(std::move(flight));
    }
    // QoS 0 makes room.
    while (!unkept_.empty() &&
           static_cast<uint64_t>(stored_bytes_) + unkept_bytes_ + bytes > options_.max_bytes) {
      unkept_bytes_ -= size_of(unkept_.front());
      unkept_.pop_front();
    }
    struct Written {
      std::vector<Result<int64_t>> numbers;
      int64_t end = 0, bytes = 0;
    };
    Written written;
    if (is_open) {
      written = co_await on_disk(
          [messages = std::move(messages), now_ms = env_.clock.wall_ms()](SpoolStore& store) {
            auto numbers = store.append(messages, now_ms);
            return Written{std::move(numbers), store.end(), store.bytes()};
          });
      end_ = written.end;
      stored_bytes_ = written.bytes;
    } else {
      written.numbers.assign(batch.size(),
                             fail(Code::kUnavailable, "the message cannot be kept on the disk"));
    }
    for (size_t i = 0; i < batch.size(); ++i) {
      Flight& flight = *batch[i];
      const Result<int64_t>& number = written.numbers[i];
      if (number) {
        flight.sequence = *number;
        // The store was empty until then: these are the first of it.
        if (flight.handed) {
          next_to_hand_ = *number + 1;
          handed_.push_back(batch[i]);
        }
      }
      settle(flight, number ? nullptr : &number.error());
      flight.message = {};
    }
  }
  writing_ = false;
  trim();
  co_await pump();
}

io::Task<void> Spool::flush() {
  spill();
  while (writing_ || !pending_.empty()) co_await io::sleep(env_.loop, 5);
}

// --- From the disk to the broker ----------------------------------------------------------------

int64_t Spool::acknowledged() const {
  return handed_.empty() ? next_to_hand_ : handed_.front()->sequence;
}

void Spool::trim() {
  while (!handed_.empty() && handed_.front()->answered) handed_.pop_front();
  if (acknowledged() > marked_) tasks_.spawn(mark());
  if (next_to_hand_ < end_) tasks_.spawn(pump());
}

// Both are started again by whatever changes: an answer, a write, a connection.
io::Task<void> Spool::pump() {
  if (!store_ || std::exchange(pumping_, true)) co_return;
  while (mqtt_.connected() && next_to_hand_ < end_ && handed_.size() < kWindow &&
         next_to_hand_ < marked_ + kUnmarked) {
    const auto count = std::min<size_t>(kWindow - handed_.size(),
                                        static_cast<size_t>(marked_ + kUnmarked - next_to_hand_));
    auto read = co_await on_disk([from = next_to_hand_, count](SpoolStore& store) {
      return store.read(from, count, kWindowBytes);
    });
    if (!read) {
      drop("kept messages cannot be read", read.error());
      break;
    }
    if (read->empty()) next_to_hand_ = end_;  // the rest is damaged
    bool is_stuck = false;
    for (io::LogMessage& each : *read) {
      auto flight = std::make_shared<Flight>();
      flight->sequence = each.sequence;
      auto message = parse_spooled(each.payload);
      if (message) {
        flight->message = std::move(*message);
        const Result<void> sent = hand(flight);
        is_stuck = !sent && sent.error().code() != Code::kInvalidArgument;
        if (is_stuck) break;
        if (!sent) drop("the broker does not take a message that was kept", sent.error());
        flight->answered = !sent;
      } else {
        drop("a message that was kept is damaged", message.error());
        flight->answered = true;
      }
      flight->message = {};  // the client has it
      next_to_hand_ = each.sequence + 1;
      handed_.push_back(std::move(flight));
    }
    if (is_stuck) {
      retry_ = env_.loop.after(kRetryMs, [this] { on_connection(mqtt_.connected()); });
      break;
    }
  }
  pumping_ = false;
  while (!handed_.empty() && handed_.front()->answered) handed_.pop_front();
  if (acknowledged() > marked_) co_await mark();
}

// In groups: the disk learns of half a window at a time, and of the last at once.
io::Task<void> Spool::mark() {
  if (!store_ || std::exchange(marking_, true)) co_return;
  const int64_t before = marked_;
  for (;;) {
    const int64_t next = acknowledged();
    const bool drained = next == end_;
    if (next <= marked_ || (!drained && next - marked_ < kUnmarked / 2)) break;
    struct Marked {
      Result<void> done;
      int64_t bytes;
    };
    const Marked marked = co_await on_disk([next](SpoolStore& store) {
      auto done = store.set_next(next);
      return Marked{std::move(done), store.bytes()};
    });
    // Without it more would come twice after the program's end; to wait would be worse.
    if (!marked.done) {
      failures_.write(log::Level::kWarn, kModule, "the disk does not note what has arrived",
                      {{"reason", marked.done.error().message()}});
    }
    marked_ = next;
    stored_bytes_ = marked.bytes;
  }
  marking_ = false;
  if (marked_ > before) co_await pump();
}

void Spool::drop(const char* why, const Error& error) {
  dropped_.write(log::Level::kWarn, kModule, why, {{"reason", error.message()}});
}

}  // namespace skerry::nucleus
