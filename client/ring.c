/* Requests through shared memory: a connection that is opened by HTTP, the memory that comes with
 * it (docs/data/ring.md), and waiting. */
#define _GNU_SOURCE /* NOLINT(bugprone-reserved-identifier): the C library's own switch */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "connect.h"
#include "transport.h"

enum { kUsualSlots = 4, kUsualSlotBytes = 256 << 10, kUsualSpinUs = 50, kMaxPenalty = 1023 };

enum SlotState {
  kFree,
  kAsked,
  kAnswered, /* until the answer is released */
  kAbandoned /* nobody waits for the answer any more */
};

struct Slot {
  enum SlotState state;
  uint32_t number; /* of its last request */
  char* storage;   /* what the answer's pointers point to, but for tensors' bytes */
  size_t storage_bytes;
};

struct Ring {
  int socket;
  unsigned char* memory;
  size_t memory_bytes;
  uint32_t slots;
  uint64_t area_bytes;
  int64_t spin_ns;
  uint32_t penalty, skip; /* so many waits without looking, after one in vain */
  struct Slot own[SKERRY_RING_MAX_SLOTS];
};

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static uint64_t aligned(uint64_t at, uint64_t to) {
  return (at + to - 1) / to * to;
}

static uint32_t* word(unsigned char* at) {
  return (uint32_t*)(void*)at; /* NOLINT(bugprone-casting-through-void): aligned */
}

static unsigned char* slot_at(const struct Ring* client, uint32_t slot) {
  return client->memory + SKERRY_RING_AT_SLOTS_BEGIN +
         slot * (client->area_bytes + SKERRY_SLOT_AT_AREA);
}

static unsigned char* area_of(const struct Ring* client, uint32_t slot) {
  return slot_at(client, slot) + SKERRY_SLOT_AT_AREA;
}

static int is_answered(const struct Ring* client, uint32_t slot) {
  const uint32_t number =
      __atomic_load_n(word(slot_at(client, slot) + SKERRY_SLOT_AT_ANSWERED), __ATOMIC_ACQUIRE);
  return number == client->own[slot].number;
}

/* --- Opening ------------------------------------------------------------------------------- */

static int32_t or_usual(int32_t value, int32_t usual) {
  return value == 0 ? usual : value;
}

static int64_t spin_ns_of(const SkerryClientOptions* options) {
  if (options->spin_us < 0) return 0;
  if (options->spin_us > 0) return (int64_t)options->spin_us * 1000;
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) return 0;
  return kUsualSpinUs * 1000;
}

/* NULL, or what is wrong with the memory that the service has sent. */
static const char* map_memory(struct Ring* client, int descriptor) {
  struct stat info;
  const int seals = fcntl(descriptor, F_GET_SEALS);
  if (fstat(descriptor, &info) != 0 || seals < 0 || !(seals & F_SEAL_SHRINK) ||
      info.st_size < SKERRY_RING_AT_SLOTS_BEGIN) {
    return "the service sent no memory that could be used safely";
  }
  client->memory_bytes = (size_t)info.st_size;
  void* memory =
      mmap(NULL, client->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (memory == MAP_FAILED) return "the service's memory cannot be mapped";
  client->memory = memory;
  client->slots = *word(client->memory + SKERRY_RING_AT_SLOTS);
  client->area_bytes = *word(client->memory + SKERRY_RING_AT_SLOT_BYTES);
  if (memcmp(client->memory, SKERRY_RING_MAGIC, 8) != 0 ||
      *word(client->memory + SKERRY_RING_AT_VERSION) != SKERRY_RING_VERSION) {
    return "the service's memory has another version";
  }
  if (client->slots == 0 || client->slots > SKERRY_RING_MAX_SLOTS ||
      client->memory_bytes - SKERRY_RING_AT_SLOTS_BEGIN !=
          client->slots * (client->area_bytes + SKERRY_SLOT_AT_AREA)) {
    return "the service's memory is not laid out as its version says";
  }
  return NULL;
}

static void ring_close(void* self) {
  struct Ring* client = self;
  for (uint32_t i = 0; i < SKERRY_RING_MAX_SLOTS; ++i) free(client->own[i].storage);
  if (client->memory) munmap(client->memory, client->memory_bytes);
  if (client->socket >= 0) close(client->socket);
  free(client);
}

int skerry_ring_open(const SkerryClientOptions* options, void** self, char* reason,
                     size_t reason_bytes) {
  struct Ring* made = calloc(1, sizeof *made);
  if (!made) {
    snprintf(reason, reason_bytes, "there is no memory for a client");
    return SKERRY_STATUS_RESOURCE_EXHAUSTED;
  }
  made->spin_ns = spin_ns_of(options);
  struct Opened opened;
  char target[96];
  snprintf(target, sizeof target, "/v2/ring?slots=%d&slot_bytes=%d",
           or_usual((int32_t)options->slots, kUsualSlots),
           or_usual((int32_t)options->slot_bytes, kUsualSlotBytes));
  int status = skerry_connect(options->socket_path, options->token, target,
                              or_usual(options->connect_ms, SKERRY_USUAL_CONNECT_MS), &opened,
                              reason, reason_bytes);
  made->socket = opened.socket;
  if (status == SKERRY_STATUS_OK) {
    const char* wrong = map_memory(made, opened.descriptor);
    close(opened.descriptor);
    if (wrong) {
      snprintf(reason, reason_bytes, "%s", wrong);
      status = SKERRY_STATUS_UNSUPPORTED;
    }
  }
  if (status != SKERRY_STATUS_OK) {
    ring_close(made);
    return status;
  }
  *self = made;
  return SKERRY_STATUS_OK;
}

/* --- Asking -------------------------------------------------------------------------------- */

/* Writes fields one after the other; what does not fit is only counted. */
struct Writer {
  unsigned char* begin;
  uint64_t at, limit;
};

static void put(struct Writer* out, const void* bytes, uint64_t size) {
  if (size <= out->limit && out->at <= out->limit - size && size > 0) {
    memcpy(out->begin + out->at, bytes, size);
  }
  out->at += size;
}

static void put_u16(struct Writer* out, size_t value) {
  const uint16_t number = (uint16_t)value;
  put(out, &number, sizeof number);
}

static void put_u32(struct Writer* out, uint32_t value) {
  put(out, &value, sizeof value);
}
static void put_u64(struct Writer* out, uint64_t value) {
  put(out, &value, sizeof value);
}

static void put_head(struct Writer* out, const SkerryClientRequest* request) {
  const char* version = request->version ? request->version : "";
  put_u32(out, SKERRY_RING_INFER);
  put_u32(out, request->priority);
  put_u64(out, request->timeout_us);
  put_u16(out, request->input_count);
  put_u16(out, request->output_count);
  put_u16(out, strlen(request->model));
  put_u16(out, strlen(version));
  put(out, request->model, strlen(request->model));
  put(out, version, strlen(version));
  for (size_t i = 0; i < request->input_count; ++i) {
    const SkerryClientTensor* input = &request->inputs[i];
    put_u16(out, input->type);
    put_u16(out, input->rank);
    put_u32(out, (uint32_t)strlen(input->name));
    put_u64(out, input->bytes);
    put(out, input->shape, (uint64_t)input->rank * sizeof(int64_t));
    put(out, input->name, strlen(input->name));
  }
  for (size_t i = 0; i < request->output_count; ++i) {
    put_u16(out, strlen(request->outputs[i]));
    put(out, request->outputs[i], strlen(request->outputs[i]));
  }
}

/* A slot that is free; SKERRY_RING_MAX_SLOTS where none is. */
static uint32_t find_free(struct Ring* client) {
  for (uint32_t slot = 0; slot < client->slots; ++slot) {
    struct Slot* own = &client->own[slot];
    if (own->state == kAbandoned && is_answered(client, slot)) own->state = kFree;
    if (own->state == kFree) return slot;
  }
  return SKERRY_RING_MAX_SLOTS;
}

/* Each side says that it sleeps, then looks once more; the other one writes, then looks whether it
 * sleeps. */
static void publish(struct Ring* client, uint32_t slot, uint32_t head_bytes) {
  unsigned char* at = slot_at(client, slot);
  const char wake = 1;
  __atomic_store_n(word(at + SKERRY_SLOT_AT_ASKED_BYTES), head_bytes, __ATOMIC_RELAXED);
  __atomic_store_n(word(at + SKERRY_SLOT_AT_ASKED), ++client->own[slot].number, __ATOMIC_RELEASE);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  const uint32_t sleeps =
      __atomic_load_n(word(client->memory + SKERRY_RING_AT_SERVER_SLEEPS), __ATOMIC_RELAXED);
  /* Where the service is gone, waiting says so. */
  if (sleeps != 0) (void)!send(client->socket, &wake, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int ring_begin(void* self, const SkerryClientRequest* request, uint32_t* ticket,
                      const char** reason) {
  static const char kTooLarge[] =
      "the request does not fit into a slot: open the client with larger ones";
  struct Ring* client = self;
  const uint32_t slot = find_free(client);
  *reason = "every slot has a request or an answer that was not released";
  if (slot == SKERRY_RING_MAX_SLOTS) return SKERRY_STATUS_RESOURCE_EXHAUSTED;
  struct Writer out = {area_of(client, slot), 0, client->area_bytes};
  put_head(&out, request);
  const uint64_t head_bytes = out.at;
  *reason = kTooLarge;
  if (head_bytes > SKERRY_RING_MAX_HEAD_BYTES) return SKERRY_STATUS_INVALID_ARGUMENT;
  for (size_t i = 0; i < request->input_count; ++i) {
    out.at = aligned(out.at, SKERRY_RING_ALIGNMENT);
    if (request->inputs[i].bytes > out.limit) return SKERRY_STATUS_INVALID_ARGUMENT;
    put(&out, request->inputs[i].data, request->inputs[i].bytes);
  }
  if (out.at > out.limit) return SKERRY_STATUS_INVALID_ARGUMENT;
  publish(client, slot, (uint32_t)head_bytes);
  client->own[slot].state = kAsked;
  *ticket = slot;
  return SKERRY_STATUS_OK;
}

/* --- Waiting ------------------------------------------------------------------------------- */

static void pause_core(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* With its eyes open, where that has paid of late. */
static int spin(struct Ring* client, uint32_t slot) {
  if (client->spin_ns == 0) return 0;
  if (client->skip > 0) {
    --client->skip;
    return 0;
  }
  const int64_t until = now_ns() + client->spin_ns;
  do {
    for (int i = 0; i < 16; ++i) {
      if (is_answered(client, slot)) {
        client->penalty = 0;
        return 1;
      }
      pause_core();
    }
  } while (now_ns() < until);
  client->penalty = 2 * client->penalty + 1;
  if (client->penalty > kMaxPenalty) client->penalty = kMaxPenalty;
  client->skip = client->penalty;
  return 0;
}

/* One wait for a byte: 1 it came, 0 the time is over, -1 the service is gone. */
static int await_wake(struct Ring* client, int64_t until_ns) {
  char bytes[64];
  int flags = 0;
  if (until_ns >= 0) {
    const int64_t left_ms = (until_ns - now_ns() + 999999) / 1000000;
    struct pollfd waited = {client->socket, POLLIN, 0};
    const int ready = left_ms <= 0 ? 0 : poll(&waited, 1, (int)left_ms);
    if (ready == 0) return 0;
    if (ready < 0) return errno == EINTR ? 1 : -1;
    flags = MSG_DONTWAIT;
  }
  const ssize_t count = recv(client->socket, bytes, sizeof bytes, flags);
  if (count < 0 && (errno == EINTR || errno == EAGAIN)) return 1;
  return count > 0 ? 1 : -1;
}

static int await_answer(struct Ring* client, uint32_t slot, int32_t timeout_ms) {
  if (is_answered(client, slot) || spin(client, slot)) return SKERRY_STATUS_OK;
  const int64_t until_ns = timeout_ms < 0 ? -1 : now_ns() + (int64_t)timeout_ms * 1000000;
  uint32_t* sleeps = word(client->memory + SKERRY_RING_AT_CLIENT_SLEEPS);
  int woken = 1;
  __atomic_store_n(sleeps, 1, __ATOMIC_RELAXED);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  while (!is_answered(client, slot) && woken > 0) woken = await_wake(client, until_ns);
  __atomic_store_n(sleeps, 0, __ATOMIC_RELAXED);
  if (is_answered(client, slot)) return SKERRY_STATUS_OK;
  return woken == 0 ? SKERRY_STATUS_TIMEOUT : SKERRY_STATUS_UNAVAILABLE;
}

/* --- Answers ------------------------------------------------------------------------------- */

struct Reader {
  const unsigned char* at;
  uint64_t left;
  int is_short;
};

static void get(struct Reader* in, void* out, uint64_t size) {
  memset(out, 0, size);
  if (size > in->left) {
    in->is_short = 1;
    in->left = 0;
    return;
  }
  memcpy(out, in->at, size);
  in->at += size;
  in->left -= size;
}

/* A copy with its end, at *to. */
static const char* get_text(struct Reader* in, char** to, uint64_t size) {
  const char* text = *to;
  if (size > in->left) {
    in->is_short = 1;
    size = 0;
  }
  get(in, *to, size);
  (*to)[size] = '\0';
  *to += size + 1;
  return text;
}

static int get_tensor(struct Reader* in, SkerryClientTensor* tensor, int64_t** shapes, char** texts,
                      const unsigned char* area, uint64_t area_bytes, uint64_t* at) {
  uint16_t type, rank;
  uint32_t name_bytes;
  get(in, &type, sizeof type);
  get(in, &rank, sizeof rank);
  get(in, &name_bytes, sizeof name_bytes);
  get(in, &tensor->bytes, sizeof tensor->bytes);
  if ((uint64_t)rank * sizeof(int64_t) > in->left) return 0;
  tensor->type = type;
  tensor->rank = rank;
  tensor->shape = *shapes;
  get(in, *shapes, (uint64_t)rank * sizeof(int64_t));
  *shapes += rank;
  tensor->name = get_text(in, texts, name_bytes);
  *at = aligned(*at, SKERRY_RING_ALIGNMENT);
  if (in->is_short || *at > area_bytes || tensor->bytes > area_bytes - *at) return 0;
  tensor->data = area + *at;
  *at += tensor->bytes;
  return 1;
}

/* Room for the answer's pointers: tensors, then shapes, then text. */
static int reserve(struct Slot* own, size_t bytes) {
  if (bytes <= own->storage_bytes) return 1;
  char* storage = realloc(own->storage, bytes);
  if (!storage) return 0;
  own->storage = storage;
  own->storage_bytes = bytes;
  return 1;
}

/* The service's memory into `answer`. 0 where it makes no sense. */
static int read_answer(struct Ring* client, uint32_t slot, SkerryClientAnswer* answer) {
  const unsigned char* area = area_of(client, slot);
  const uint32_t head_bytes =
      __atomic_load_n(word(slot_at(client, slot) + SKERRY_SLOT_AT_ANSWER_BYTES), __ATOMIC_RELAXED);
  if (head_bytes > client->area_bytes) return 0;
  struct Reader in = {area, head_bytes, 0};
  uint32_t status, message_bytes;
  uint16_t outputs, version_bytes;
  get(&in, &status, sizeof status);
  get(&in, &answer->retry_after_s, sizeof answer->retry_after_s);
  get(&in, &outputs, sizeof outputs);
  get(&in, &version_bytes, sizeof version_bytes);
  get(&in, &message_bytes, sizeof message_bytes);
  const size_t tensors_bytes = outputs * sizeof(SkerryClientTensor);
  const size_t shapes_bytes = (size_t)head_bytes / sizeof(int64_t) * sizeof(int64_t);
  struct Slot* own = &client->own[slot];
  if (in.is_short || !reserve(own, tensors_bytes + shapes_bytes + head_bytes + outputs + 2u)) {
    return 0;
  }
  void* first = own->storage; /* aligned, as malloc gives it, and so is what lies behind */
  SkerryClientTensor* tensors = first;
  void* behind = own->storage + tensors_bytes;
  int64_t* shapes = behind;
  char* texts = own->storage + tensors_bytes + shapes_bytes;
  answer->status = (int)status;
  answer->version = get_text(&in, &texts, version_bytes);
  answer->message = get_text(&in, &texts, message_bytes);
  uint64_t at = head_bytes;
  for (uint16_t i = 0; i < outputs; ++i) {
    if (!get_tensor(&in, &tensors[i], &shapes, &texts, area, client->area_bytes, &at)) return 0;
  }
  answer->outputs = tensors;
  answer->output_count = outputs;
  return !in.is_short;
}

static int ring_wait(void* self, uint32_t ticket, int32_t timeout_ms, SkerryClientAnswer* answer) {
  struct Ring* client = self;
  if (ticket >= client->slots || client->own[ticket].state != kAsked) {
    return skerry_failed(answer, SKERRY_STATUS_INVALID_ARGUMENT,
                         "there is no such request under way");
  }
  const int status = await_answer(client, ticket, timeout_ms);
  if (status != SKERRY_STATUS_OK) {
    client->own[ticket].state = kAbandoned;
    return skerry_failed(answer, status,
                         status == SKERRY_STATUS_TIMEOUT ? "there is no answer in time"
                                                         : "the inference service is gone");
  }
  if (!read_answer(client, ticket, answer)) {
    client->own[ticket].state = kFree;
    return skerry_failed(answer, SKERRY_STATUS_INTERNAL, "the service's answer makes no sense");
  }
  client->own[ticket].state = kAnswered;
  answer->ticket = ticket;
  return answer->status;
}

static void ring_release(void* self, uint32_t ticket) {
  struct Ring* client = self;
  if (ticket >= client->slots || client->own[ticket].state != kAnswered) return;
  client->own[ticket].state = kFree;
}

const struct Transport skerry_ring = {ring_close, ring_begin, ring_wait, ring_release};
