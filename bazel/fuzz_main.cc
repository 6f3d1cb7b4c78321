// Drives a fuzz target where libFuzzer is not linked: the corpus files, then a fixed number of
// mutations, the same ones in every run. A failure names the iteration that repeats it.
//
//   x_fuzz [--seed=N] [--runs=N] [--iteration=N] [--max_len=BYTES] [FILE...]
//
// --iteration runs that one mutation alone. Exit 0: every input returned.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
// Present in a sanitizer's run time only; it may end the process without a signal.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

struct Options {
  uint64_t seed = 1;
  uint64_t runs = 5000;
  int64_t only_iteration = -1;
  size_t max_len = 4096;
  std::vector<const char*> files;
};

// What is running, for the signal handler: a fixed buffer, because nothing may be allocated there.
char g_running[512] = "before the first input";

// Once: a sanitizer calls it both on its own and through the signal it ends with.
void ReportRunning() {
  static volatile sig_atomic_t reported = 0;
  if (reported != 0) return;
  reported = 1;
  constexpr std::string_view kPrefix = "\nfuzz_main: failed on ";
  (void)!write(STDERR_FILENO, kPrefix.data(), kPrefix.size());
  (void)!write(STDERR_FILENO, g_running, strnlen(g_running, sizeof g_running));
  (void)!write(STDERR_FILENO, "\n", 1);
}

void OnSignal(int signal_number) {
  ReportRunning();
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void ReportOnDeath() {
  for (int signal_number : {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGTERM}) signal(signal_number, OnSignal);
  if (__sanitizer_set_death_callback != nullptr) {
    __sanitizer_set_death_callback(ReportRunning);  // it has its own handler for SIGSEGV
  } else {
    signal(SIGSEGV, OnSignal);
  }
}

// SplitMix64: the same numbers on every machine and standard library.
class Numbers {
 public:
  explicit Numbers(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  size_t Below(size_t limit) { return limit == 0 ? 0 : static_cast<size_t>(Next() % limit); }

 private:
  uint64_t state_;
};

using Bytes = std::vector<uint8_t>;

constexpr uint8_t kInteresting[] = {0x00, 0x01, 0x7F, 0x80, 0xFF, 0x30, 0x16, '/', ':', '%', '\n', '.', ' ', '{', '"'};

void MutateOnce(Bytes& input, const std::vector<Bytes>& corpus, Numbers& numbers) {
  const size_t at = numbers.Below(input.size());
  const size_t length = 1 + numbers.Below(16);
  switch (numbers.Below(8)) {
    case 0:  // flip a bit
      if (!input.empty()) input[at] ^= static_cast<uint8_t>(1u << numbers.Below(8));
      return;
    case 1:  // any byte
      if (!input.empty()) input[at] = static_cast<uint8_t>(numbers.Next());
      return;
    case 2:  // a byte that parsers treat specially
      if (!input.empty()) input[at] = kInteresting[numbers.Below(sizeof kInteresting)];
      return;
    case 3:  // cut off
      input.resize(numbers.Below(input.size() + 1));
      return;
    case 4:  // remove a stretch
      input.erase(input.begin() + at, input.begin() + std::min(input.size(), at + length));
      return;
    case 5: {  // insert new bytes
      Bytes fresh(length);
      for (uint8_t& byte : fresh) byte = static_cast<uint8_t>(numbers.Next());
      input.insert(input.begin() + at, fresh.begin(), fresh.end());
      return;
    }
    case 6: {  // repeat a stretch
      const Bytes stretch(input.begin() + at, input.begin() + std::min(input.size(), at + length));
      input.insert(input.begin() + at, stretch.begin(), stretch.end());
      return;
    }
    default: {  // splice: the head of this one, the tail of another
      const Bytes& other = corpus[numbers.Below(corpus.size())];
      input.resize(numbers.Below(input.size() + 1));
      input.insert(input.end(), other.begin() + numbers.Below(other.size() + 1), other.end());
      return;
    }
  }
}

void RunIteration(const Options& options, const std::vector<Bytes>& corpus, uint64_t iteration) {
  Numbers numbers(Numbers(options.seed).Next() ^ (iteration * 0xD1342543DE82EF95u));
  Bytes input = corpus[numbers.Below(corpus.size())];
  for (size_t left = 1 + numbers.Below(8); left > 0; --left) MutateOnce(input, corpus, numbers);
  if (input.size() > options.max_len) input.resize(options.max_len);
  snprintf(g_running, sizeof g_running, "seed %llu, iteration %llu; repeat with --seed=%llu --iteration=%llu",
           static_cast<unsigned long long>(options.seed), static_cast<unsigned long long>(iteration),
           static_cast<unsigned long long>(options.seed), static_cast<unsigned long long>(iteration));
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

bool TakeNumber(std::string_view argument, std::string_view name, uint64_t& value) {
  if (argument.substr(0, name.size()) != name) return false;
  value = std::strtoull(argument.data() + name.size(), nullptr, 10);
  return true;
}

Options ReadOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    uint64_t number = 0;
    if (TakeNumber(argv[i], "--seed=", options.seed) || TakeNumber(argv[i], "--runs=", options.runs)) continue;
    if (TakeNumber(argv[i], "--iteration=", number)) {
      options.only_iteration = static_cast<int64_t>(number);
    } else if (TakeNumber(argv[i], "--max_len=", number)) {
      options.max_len = number;
    } else {
      options.files.push_back(argv[i]);
    }
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = ReadOptions(argc, argv);
  ReportOnDeath();
  std::vector<Bytes> corpus = {{}};
  for (const char* file : options.files) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) {
      fprintf(stderr, "fuzz_main: cannot read the corpus file %s\n", file);
      return 1;
    }
    corpus.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
  }
  if (options.only_iteration >= 0) {
    RunIteration(options, corpus, static_cast<uint64_t>(options.only_iteration));
    return 0;
  }
  for (size_t i = 0; i < corpus.size(); ++i) {
    snprintf(g_running, sizeof g_running, "corpus file %s", i == 0 ? "(empty input)" : options.files[i - 1]);
    LLVMFuzzerTestOneInput(corpus[i].data(), corpus[i].size());
  }
  for (uint64_t i = 0; i < options.runs; ++i) RunIteration(options, corpus, i);
  snprintf(g_running, sizeof g_running, "exit, after the last input (seed %llu)",
           static_cast<unsigned long long>(options.seed));
  printf("%zu corpus inputs and %llu mutations (seed %llu)\n", corpus.size(),
         static_cast<unsigned long long>(options.runs), static_cast<unsigned long long>(options.seed));
  return 0;
}
