/* Requests by HTTP, over TCP or the Unix socket: a connection for each slot, made when it is needed
 * and kept. Tensors go as they are, behind the document that describes them. */
#define _GNU_SOURCE /* NOLINT(bugprone-reserved-identifier): the C library's own switch */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "connect.h"
#include "http_answer.h"
#include "transport.h"

enum { kUsualHttpSlots = 4, kMaxAnswerBytes = 64 << 20, kNoAnswerYet = -2 };

/* Grows; what does not find memory is said at the end. */
struct Text {
  char* bytes;
  size_t size, room;
  int failed;
};

enum CallState { kIdle, kAsked, kAnswered };

struct Call {
  enum CallState state;
  int socket; /* -1: none */
  char* body; /* of the answer */
  struct HttpAnswer* answer;
};

struct Http {
  char* socket_path; /* or TCP: */
  char* host;
  char* port;
  char* lines; /* of each request's head */
  int32_t connect_ms;
  uint32_t slots;
  uint64_t max_answer_bytes;
  struct Text json, head; /* of the request that is sent */
  struct Call calls[SKERRY_RING_MAX_SLOTS];
};

static void append(struct Text* text, const char* bytes, size_t size) {
  if (text->failed) return;
  if (size > text->room - text->size) {
    const size_t room = 2 * (text->size + size);
    char* more = realloc(text->bytes, room);
    if (!more) {
      text->failed = 1;
      return;
    }
    text->bytes = more;
    text->room = room;
  }
  memcpy(text->bytes + text->size, bytes, size);
  text->size += size;
}

__attribute__((format(printf, 2, 3))) static void print(struct Text* text, const char* format,
                                                        ...) {
  char short_text[128];
  va_list arguments;
  va_start(arguments, format);
  const int size = vsnprintf(short_text, sizeof short_text, format, arguments);
  va_end(arguments);
  append(text, short_text, (size_t)size);
}

static void put(struct Text* text, const char* words) {
  append(text, words, strlen(words));
}

static void put_json_text(struct Text* text, const char* value) {
  put(text, "\"");
  for (; *value; ++value) {
    if (*value == '"' || *value == '\\') {
      print(text, "\\%c", *value);
    } else if ((unsigned char)*value < ' ') {
      print(text, "\\u%04x", (unsigned)*value);
    } else {
      append(text, value, 1);
    }
  }
  put(text, "\"");
}

static void put_path_segment(struct Text* text, const char* value) {
  for (; *value; ++value) {
    const unsigned char each = (unsigned char)*value;
    if ((each | 32U) - 'a' < 26U || each - (unsigned)'0' < 10U || strchr("-._~", each)) {
      append(text, value, 1);
    } else {
      print(text, "%%%02X", each);
    }
  }
}

static void put_document(struct Text* text, const SkerryClientRequest* request) {
  put(text, "{\"parameters\":{\"binary_data_output\":true");
  if (request->timeout_us)
    print(text, ",\"timeout\":%llu", (unsigned long long)request->timeout_us);
  if (request->priority) print(text, ",\"priority\":%u", request->priority);
  put(text, "},\"inputs\":[");
  for (size_t i = 0; i < request->input_count; ++i) {
    const SkerryClientTensor* input = &request->inputs[i];
    put(text, i ? ",{\"name\":" : "{\"name\":");
    put_json_text(text, input->name);
    print(text, ",\"datatype\":\"%s\",\"shape\":[", skerry_type_name(input->type));
    for (uint32_t j = 0; j < input->rank; ++j) {
      print(text, "%s%lld", j ? "," : "", (long long)input->shape[j]);
    }
    print(text, "],\"parameters\":{\"binary_data_size\":%llu}}", (unsigned long long)input->bytes);
  }
  for (size_t i = 0; i < request->output_count; ++i) {
    put(text, i ? ",{\"name\":" : "],\"outputs\":[{\"name\":");
    put_json_text(text, request->outputs[i]);
    put(text, "}");
  }
  put(text, "]}");
}

static void put_head(struct Text* text, const struct Http* http, const SkerryClientRequest* request,
                     size_t json_bytes) {
  uint64_t body_bytes = json_bytes;
  for (size_t i = 0; i < request->input_count; ++i) body_bytes += request->inputs[i].bytes;
  put(text, "POST /v2/models/");
  put_path_segment(text, request->model);
  if (request->version && request->version[0]) {
    put(text, "/versions/");
    put_path_segment(text, request->version);
  }
  put(text, "/infer HTTP/1.1\r\n");
  put(text, http->lines);
  print(text, "Inference-Header-Content-Length: %zu\r\nContent-Length: %llu\r\n\r\n", json_bytes,
        (unsigned long long)body_bytes);
}

/* --- Opening ------------------------------------------------------------------------------- */

static int connect_call(const struct Http* http) {
  return http->socket_path ? skerry_connect_unix(http->socket_path, http->connect_ms)
                           : skerry_connect_tcp(http->host, http->port, http->connect_ms);
}

static void http_close(void* self) {
  struct Http* http = self;
  for (uint32_t i = 0; i < SKERRY_RING_MAX_SLOTS; ++i) {
    struct Call* call = &http->calls[i];
    if (call->socket >= 0) close(call->socket);
    if (call->answer) free(call->answer->tensors);
    free(call->answer);
    free(call->body);
  }
  free(http->json.bytes);
  free(http->head.bytes);
  free(http->socket_path);
  free(http->host);
  free(http->port);
  free(http->lines);
  free(http);
}

/* "http://host:port", "host:port" or "[::1]:port", with nothing behind. */
static int read_server(const char* server, struct Http* http) {
  if (strncmp(server, "http://", 7) == 0) server += 7;
  const size_t size = strcspn(server, "/?#@");
  if (server[size] == '/' && server[size + 1] == '\0') {
  } else if (server[size] != '\0') {
    return 0;
  }
  const char* end = server + size;
  const char* close_bracket = server[0] == '[' ? memchr(server, ']', size) : NULL;
  if (server[0] == '[' && !close_bracket) return 0;
  const char* host = close_bracket ? server + 1 : server;
  const char* after = close_bracket ? close_bracket + 1 : server + strcspn(server, ":/");
  const char* host_end = close_bracket ? close_bracket : after;
  if (host_end == host || (after < end && *after != ':')) return 0;
  http->host = strndup(host, (size_t)(host_end - host));
  http->port = after < end ? strndup(after + 1, (size_t)(end - after - 1)) : strdup("80");
  return http->host && http->port && http->port[0] &&
         http->port[strspn(http->port, "0123456789")] == '\0';
}

static int prepare(struct Http* http, const SkerryClientOptions* options, char* reason,
                   size_t reason_bytes) {
  const char* token = skerry_token(options->token);
  if (token && !skerry_is_token(token)) {
    snprintf(reason, reason_bytes, "a token is one line of printable ASCII");
    return SKERRY_STATUS_INVALID_ARGUMENT;
  }
  if (!options->server && options->socket_path) http->socket_path = strdup(options->socket_path);
  if (options->server ? !read_server(options->server, http) : !http->socket_path) {
    snprintf(reason, reason_bytes, "'%s' is no server, which is http://HOST:PORT",
             options->server ? options->server : "");
    return SKERRY_STATUS_INVALID_ARGUMENT;
  }
  const int is_numeric6 = http->host && strchr(http->host, ':');
  const int size =
      asprintf(&http->lines, "Host: %s%s%s%s%s\r\n%s%s%s", is_numeric6 ? "[" : "",
               http->host ? http->host : "localhost", is_numeric6 ? "]" : "", http->port ? ":" : "",
               http->port ? http->port : "", token ? "Authorization: Bearer " : "",
               token ? token : "", token ? "\r\n" : "");
  if (size < 0) {
    http->lines = NULL;
    snprintf(reason, reason_bytes, "there is no memory for a client");
    return SKERRY_STATUS_RESOURCE_EXHAUSTED;
  }
  return SKERRY_STATUS_OK;
}

int skerry_http_open(const SkerryClientOptions* options, void** self, char* reason,
                     size_t reason_bytes) {
  struct Http* http = calloc(1, sizeof *http);
  if (!http) {
    snprintf(reason, reason_bytes, "there is no memory for a client");
    return SKERRY_STATUS_RESOURCE_EXHAUSTED;
  }
  for (uint32_t i = 0; i < SKERRY_RING_MAX_SLOTS; ++i) http->calls[i].socket = -1;
  http->slots = options->slots ? options->slots : kUsualHttpSlots;
  http->max_answer_bytes = options->slot_bytes ? options->slot_bytes : kMaxAnswerBytes;
  http->connect_ms = options->connect_ms ? options->connect_ms : SKERRY_USUAL_CONNECT_MS;
  int status = prepare(http, options, reason, reason_bytes);
  if (status == SKERRY_STATUS_OK) {
    http->calls[0].socket = connect_call(http);
    if (http->calls[0].socket < 0) {
      snprintf(reason, reason_bytes, "the inference service cannot be reached: %s",
               strerror(errno));
      status = SKERRY_STATUS_UNAVAILABLE;
    }
  }
  if (status != SKERRY_STATUS_OK) {
    http_close(http);
    return status;
  }
  *self = http;
  return SKERRY_STATUS_OK;
}

/* --- Asking -------------------------------------------------------------------------------- */

static void hang_up(struct Call* call) {
  if (call->socket >= 0) close(call->socket);
  call->socket = -1;
}

/* A connection that is kept, unless the service has closed it or says something unasked. */
static int is_connected(struct Call* call, const struct Http* http) {
  struct pollfd looked = {call->socket, POLLIN, 0};
  if (call->socket >= 0 && poll(&looked, 1, 0) != 0) hang_up(call);
  if (call->socket < 0) call->socket = connect_call(http);
  return call->socket >= 0;
}

/* All of it. Where the service does not want it whole, what it says is read later. */
static void send_all(int socket, struct iovec* parts, size_t count) {
  struct msghdr message;
  memset(&message, 0, sizeof message);
  while (count > 0) {
    message.msg_iov = parts;
    message.msg_iovlen = count;
    ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return;
    for (; count > 0 && (size_t)sent >= parts->iov_len; ++parts, --count) {
      sent -= (ssize_t)parts->iov_len;
    }
    if (count > 0) {
      parts->iov_base = (char*)parts->iov_base + sent;
      parts->iov_len -= (size_t)sent;
    }
  }
}

static int http_begin(void* self, const SkerryClientRequest* request, uint32_t* ticket,
                      const char** reason) {
  struct Http* http = self;
  uint32_t slot = 0;
  while (slot < http->slots && http->calls[slot].state != kIdle) ++slot;
  *reason = "every slot has a request or an answer that was not released";
  if (slot == http->slots) return SKERRY_STATUS_RESOURCE_EXHAUSTED;
  http->json.size = http->head.size = 0;
  http->json.failed = http->head.failed = 0;
  put_document(&http->json, request);
  put_head(&http->head, http, request, http->json.size);
  *reason = "there is no memory for the request";
  if (http->json.failed || http->head.failed) return SKERRY_STATUS_INTERNAL;
  *reason = "the inference service cannot be reached";
  if (!is_connected(&http->calls[slot], http)) return SKERRY_STATUS_UNAVAILABLE;
  struct iovec parts[SKERRY_RING_MAX_TENSORS + 2] = {{http->head.bytes, http->head.size},
                                                     {http->json.bytes, http->json.size}};
  size_t count = 2;
  for (size_t i = 0; i < request->input_count; ++i) {
    if (request->inputs[i].bytes == 0) continue;
    const uintptr_t data = (uintptr_t)request->inputs[i].data;
    parts[count].iov_base = (void*)data; /* NOLINT(performance-no-int-to-ptr): sendmsg() reads it */
    parts[count++].iov_len = request->inputs[i].bytes;
  }
  send_all(http->calls[slot].socket, parts, count);
  http->calls[slot].state = kAsked;
  *ticket = slot;
  return SKERRY_STATUS_OK;
}

/* --- Answers ------------------------------------------------------------------------------- */

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Bytes; 0 or -1: the service is gone; kNoAnswerYet. */
static ssize_t receive(int socket, char* to, size_t size, int64_t until_ms) {
  for (;;) {
    const int64_t left_ms = until_ms < 0 ? -1 : until_ms - now_ms();
    struct pollfd waited = {socket, POLLIN, 0};
    const int ready =
        until_ms >= 0 && left_ms <= 0 ? poll(&waited, 1, 0) : poll(&waited, 1, (int)left_ms);
    if (ready == 0) return kNoAnswerYet;
    if (ready < 0 && errno == EINTR) continue;
    const ssize_t count = recv(socket, to, size, 0);
    if (count >= 0 || errno != EINTR) return count;
  }
}

/* A head in `bytes`, then `size` bytes in all, of which those behind the head are the body's. */
static int receive_head(struct Call* call, char* bytes, size_t* size, struct HttpHead* head,
                        int64_t until_ms, const char** wrong) {
  for (*size = 0;;) {
    const int head_bytes = skerry_http_head(bytes, *size, head);
    *wrong = "what answers there is no inference service";
    if (head_bytes < 0) return SKERRY_STATUS_INTERNAL;
    if (head_bytes > 0) {
      *size -= (size_t)head_bytes;
      memmove(bytes, bytes + head_bytes, *size);
      if (head->http / 100 != 1) return SKERRY_STATUS_OK;
      continue; /* the real one follows */
    }
    const ssize_t count =
        receive(call->socket, bytes + *size, SKERRY_MAX_HTTP_HEAD_BYTES - *size, until_ms);
    *wrong = count == kNoAnswerYet ? "there is no answer in time" : "the inference service is gone";
    if (count == kNoAnswerYet) return SKERRY_STATUS_TIMEOUT;
    if (count <= 0) return SKERRY_STATUS_UNAVAILABLE;
    *size += (size_t)count;
  }
}

static int receive_answer(const struct Http* http, struct Call* call, struct HttpHead* head,
                          int64_t until_ms, const char** wrong) {
  char bytes[SKERRY_MAX_HTTP_HEAD_BYTES];
  size_t have = 0;
  const int status = receive_head(call, bytes, &have, head, until_ms, wrong);
  if (status != SKERRY_STATUS_OK) return status;
  *wrong = "the answer is larger than this client takes: open it with a larger slot_bytes";
  if (head->body_bytes > http->max_answer_bytes) return SKERRY_STATUS_RESOURCE_EXHAUSTED;
  *wrong = "there is no memory for the answer";
  char* body = realloc(call->body, head->body_bytes + 1);
  if (!body) return SKERRY_STATUS_RESOURCE_EXHAUSTED;
  call->body = body;
  if (!call->answer) call->answer = calloc(1, sizeof *call->answer);
  if (!call->answer) return SKERRY_STATUS_RESOURCE_EXHAUSTED;
  *wrong = "the service says more than it was asked";
  if (have > head->body_bytes) return SKERRY_STATUS_INTERNAL;
  memcpy(body, bytes, have);
  while (have < head->body_bytes) {
    const ssize_t count = receive(call->socket, body + have, head->body_bytes - have, until_ms);
    *wrong = count == kNoAnswerYet ? "there is no answer in time" : "the inference service is gone";
    if (count == kNoAnswerYet) return SKERRY_STATUS_TIMEOUT;
    if (count <= 0) return SKERRY_STATUS_UNAVAILABLE;
    have += (size_t)count;
  }
  return SKERRY_STATUS_OK;
}

static int http_wait(void* self, uint32_t ticket, int32_t timeout_ms, SkerryClientAnswer* answer) {
  struct Http* http = self;
  if (ticket >= http->slots || http->calls[ticket].state != kAsked) {
    return skerry_failed(answer, SKERRY_STATUS_INVALID_ARGUMENT,
                         "there is no such request under way");
  }
  struct Call* call = &http->calls[ticket];
  struct HttpHead head;
  const char* wrong = NULL;
  call->state = kIdle;
  const int64_t until_ms = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
  const int status = receive_answer(http, call, &head, until_ms, &wrong);
  if (status != SKERRY_STATUS_OK) {
    hang_up(call);
    return skerry_failed(answer, status, wrong);
  }
  if (head.is_last) hang_up(call);
  wrong = skerry_http_answer(call->body, &head, call->answer);
  if (wrong && head.http == 200) return skerry_failed(answer, SKERRY_STATUS_INTERNAL, wrong);
  call->state = kAnswered;
  answer->status = head.status;
  answer->retry_after_s = head.retry_after_s;
  answer->message = head.status == SKERRY_STATUS_OK || call->answer->message[0]
                        ? call->answer->message
                        : "the service refuses the request, and does not say why";
  answer->version = call->answer->version;
  answer->outputs = call->answer->outputs;
  answer->output_count = head.status == SKERRY_STATUS_OK ? call->answer->output_count : 0;
  answer->ticket = ticket;
  return answer->status;
}

static void http_release(void* self, uint32_t ticket) {
  struct Http* http = self;
  if (ticket < http->slots && http->calls[ticket].state == kAnswered) {
    http->calls[ticket].state = kIdle;
  }
}

const struct Transport skerry_http = {http_close, http_begin, http_wait, http_release};
