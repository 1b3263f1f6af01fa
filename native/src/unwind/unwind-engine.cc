/** The threads that keep lists and tables; see unwind-engine.h. */
#include "unwind-engine.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <dirent.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "../symbols/clock.h"

namespace hotspan::unwind {
namespace {

using symbols::monotonicNs;
using symbols::nsPerMs;
using symbols::nsPerS;

// Between two looks at the events: a program's start makes some dozens, and they are published together.
constexpr uint64_t minCycleNs = 4 * nsPerMs;
constexpr int idleMs = 500;
constexpr int busyMs = 5;
// Per look and CPU; applied in small groups, so that nobody waits long for the lock.
constexpr size_t maxEventsPerCycle = 4096;
constexpr size_t eventsPerLock = 64;
// After a loss all processes are read again, at most this often, and at most 5 % of the time.
constexpr uint64_t minScanIntervalNs = nsPerS;
constexpr uint64_t scanCostFactor = 20;
// For what was evicted to become free.
constexpr uint64_t graceWaits = 3;
constexpr size_t maxWaitingFiles = 16384;
constexpr size_t maxLines = 66'000;

std::vector<int> runningProcesses() {
    std::vector<int> pids;
    DIR *folder = opendir("/proc");
    if (folder == nullptr) {
        return pids;
    }
    while (const dirent *entry = readdir(folder)) {
        int pid = 0;
        const char *end = entry->d_name + strlen(entry->d_name);
        if (auto [rest, error] = std::from_chars(entry->d_name, end, pid); error == std::errc{} && rest == end) {
            pids.push_back(pid);
        }
    }
    closedir(folder);
    return pids;
}

} // namespace

UnwindEngine::UnwindEngine(const UnwinderOptions &options)
    : options_(options), arena_(maps_, options.maxBytes, symbols::coarseNs),
      lists_(arena_, publisher_, [this](std::shared_ptr<CodeFile> file) { queueFile(std::move(file), false); }),
      tables_(arena_, lists_, *marks_), maker_(options.cacheDir),
      resumer_(arena_, lists_, [this](std::shared_ptr<CodeFile> file) { queueFile(std::move(file), true); }) {}

UnwindEngine::~UnwindEngine() {
    stop();
}

int UnwindEngine::start(std::string &failed) {
    if (int error = maps_.create(failed)) {
        return -error;
    }
    failed = "process events";
    if (int error = events_.open()) {
        return -error;
    }
    eventFds_ = events_.descriptors();
    wakeFd_ = symbols::UniqueFd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    failed = "threads";
    if (!wakeFd_) {
        return errno;
    }
    startNs_ = monotonicNs();
    if (int error = listener_.Start("hs-unwind", [this] { listen(); })) {
        return error;
    }
    if (int error = builder_.Start("hs-tables", [this] { makeTables(); })) {
        stop();
        return error;
    }
    symbols::lendCapture(*this);
    return 0;
}

void UnwindEngine::stop() {
    symbols::withdrawCapture(*this);
    {
        std::lock_guard lock(mutex_);
        isStopping_ = true;
    }
    fileWaits_.notify_all();
    roomFreed_.notify_all();
    wake();
    listener_.Join();
    builder_.Join();
}

void UnwindEngine::wake() {
    uint64_t one = 1;
    if (wakeFd_) {
        [[maybe_unused]] ssize_t written = write(wakeFd_.get(), &one, sizeof one);
    }
}

void UnwindEngine::waitForEvents(bool isBusy) {
    std::vector<pollfd> waits;
    for (int fd : eventFds_) {
        waits.push_back({fd, POLLIN, 0});
    }
    waits.push_back({wakeFd_.get(), POLLIN, 0});
    poll(waits.data(), waits.size(), isBusy ? busyMs : idleMs);
    uint64_t count = 0;
    [[maybe_unused]] ssize_t got = read(wakeFd_.get(), &count, sizeof count);
}

void UnwindEngine::scan() {
    uint64_t begin = monotonicNs();
    for (int pid : runningProcesses()) {
        if (isStopping_) {
            return;
        }
        uint64_t readNs = monotonicNs();
        std::optional<symbols::Mappings> maps = symbols::readMappings(pid, maxLines);
        std::lock_guard lock(mutex_);
        if (maps) {
            lists_.take(pid, *maps, readNs);
        }
    }
    std::lock_guard lock(mutex_);
    lists_.publish(monotonicNs());
    uint64_t costNs = monotonicNs() - begin;
    if (totals_.scans++ == 0) {
        totals_.scanNs = costNs;
    }
    nextScanNs_ = monotonicNs() + std::max(minScanIntervalNs, scanCostFactor * costNs);
}

bool UnwindEngine::takeEvents() {
    std::vector<ProcessEvent> events;
    uint64_t horizonNs = 0;
    bool isMore = events_.drain(maxEventsPerCycle, events, horizonNs);
    for (size_t begin = 0; begin < events.size(); begin += eventsPerLock) {
        std::lock_guard lock(mutex_);
        for (size_t i = begin; i < std::min(events.size(), begin + eventsPerLock); i++) {
            lists_.apply(events[i]);
        }
    }
    std::lock_guard lock(mutex_);
    totals_.events += events.size();
    horizonNs_ = horizonNs;
    return isMore;
}

void UnwindEngine::listen() {
    scan();
    bool isBusy = true;
    uint64_t cycleNs = 0;
    while (!isStopping_) {
        waitForEvents(isBusy);
        // Together what comes together.
        if (uint64_t now = monotonicNs(); now < cycleNs + minCycleNs) {
            timespec rest{0, static_cast<long>(cycleNs + minCycleNs - now)};
            nanosleep(&rest, nullptr);
        }
        cycleNs = monotonicNs();
        isBusy = takeEvents();
        bool isScanDue = false;
        {
            std::lock_guard lock(mutex_);
            uint64_t now = monotonicNs();
            lists_.tick(now);
            isBusy |= lists_.publish(now);
            isBusy |= resumer_.work(now, horizonNs_);
            arena_.collect();
            isBusy |= arena_.graceBytes() > 0;
            totals_.lostEvents = events_.lost();
            isScanDue = totals_.lostEvents != lostSeen_ && now >= nextScanNs_;
            lostSeen_ = isScanDue ? totals_.lostEvents : lostSeen_;
        }
        roomFreed_.notify_all();
        if (isScanDue) {
            scan();
        }
    }
}

void UnwindEngine::queueFile(std::shared_ptr<CodeFile> file, bool isWanted) {
    if (file->isQueued && isWanted && !file->isWanted) {
        // It waits already, behind what nobody waits for.
        if (auto place = std::find(waiting_.begin(), waiting_.end(), file); place != waiting_.end()) {
            waiting_.erase(place);
            waiting_.push_front(file);
        }
    }
    file->isWanted |= isWanted;
    // An evicted table is made again once in a while: room may have become free.
    bool isTried = file->isRead && symbols::coarseNs() < file->triedNs + nsPerS;
    bool hasTable = file->table && file->table->state != PlacedTable::State::noRoom;
    if (file->isQueued || isTried || hasTable || waiting_.size() >= maxWaitingFiles) {
        return;
    }
    file->isQueued = true;
    if (isWanted) {
        waiting_.push_front(std::move(file));
    } else {
        waiting_.push_back(std::move(file));
    }
    fileWaits_.notify_one();
}

bool UnwindEngine::nextFile(std::unique_lock<std::mutex> &lock, std::shared_ptr<CodeFile> &file) {
    if (waiting_.empty() && totals_.scans > 0 && totals_.readyNs == 0) {
        totals_.readyNs = monotonicNs() - startNs_;
    }
    fileWaits_.wait(lock, [this] { return isStopping_ || !waiting_.empty(); });
    if (isStopping_) {
        return false;
    }
    file = std::move(waiting_.front());
    waiting_.pop_front();
    return true;
}

void UnwindEngine::makeTables() {
    // Tables that nobody waits for take at most a quarter of the time, beyond a reserve for the start.
    constexpr uint64_t maxBudgetNs = 10 * nsPerS, refillDivisor = 4;
    uint64_t budgetNs = maxBudgetNs, filledNs = monotonicNs();
    std::unique_lock lock(mutex_);
    std::shared_ptr<CodeFile> file;
    while (nextFile(lock, file)) {
        uint64_t now = monotonicNs();
        budgetNs = std::min(maxBudgetNs, budgetNs + (now - filledNs) / refillDivisor);
        filledNs = now;
        if (budgetNs < 100 * nsPerMs && !file->isWanted) {
            waiting_.push_back(std::move(file));
            fileWaits_.wait_for(lock, std::chrono::milliseconds(20));
            continue;
        }
        isBuilding_ = true;
        makeTable(lock, *file);
        isBuilding_ = false;
        file->isQueued = false;
        file->isWanted = false;
        file->triedNs = symbols::coarseNs();
        file.reset();
        tables_.forgetUnused();
        budgetNs -= std::min(budgetNs, monotonicNs() - now);
        wake();
    }
}

void UnwindEngine::makeTable(std::unique_lock<std::mutex> &lock, CodeFile &file) {
    FileToRead wanted{lists_.files().takeLocation(file), file.sighting, file.parentPid, file.key, file.isVdso};
    lock.unlock();
    uint64_t begin = monotonicNs();
    MadeTable made = maker_.make(std::move(wanted), [this](const std::string &key) {
        std::lock_guard guard(mutex_);
        PlacedTable::State state = tables_.of(key)->state;
        return state == PlacedTable::State::ready || state == PlacedTable::State::none;
    });
    uint64_t tookNs = monotonicNs() - begin;
    lock.lock();
    totals_.builds += made.table && !made.isFromCache ? 1 : 0;
    totals_.cacheHits += made.isFromCache ? 1 : 0;
    totals_.buildNs += made.table ? tookNs : 0;
    finishFile(file, made);
    if (made.table && file.table->state != PlacedTable::State::ready && !placeTable(lock, file, *made.table)) {
        tables_.countRefusal();
        tables_.setState(*file.table, PlacedTable::State::noRoom);
    }
}

void UnwindEngine::finishFile(CodeFile &file, MadeTable &made) {
    file.isRead = true;
    if (made.isOpened) {
        file.elf = std::move(made.elf);
        file.key = made.fileKey;
    }
    totals_.unreadableFiles += made.isOpened ? 0 : 1;
    if (!made.key.empty()) {
        file.table = tables_.of(made.key);
        // 32-bit code and other machines'.
        if (!made.table && file.table->state == PlacedTable::State::pending) {
            file.table->state = PlacedTable::State::none;
        }
    } else if (!made.isOpened && !file.table) {
        // Frame pointers are all that is left.
        file.table = std::make_shared<PlacedTable>();
        file.table->state = PlacedTable::State::none;
    }
    lists_.fileRead(file);
}

bool UnwindEngine::placeTable(std::unique_lock<std::mutex> &lock, CodeFile &file, const UnwindTable &table) {
    size_t sizeBytes = table.bytes.size() + table.pages.size() * sizeof(unwind_page);
    for (uint64_t round = 0; round <= graceWaits; round++) {
        if (tables_.place(*file.table, table)) {
            return true;
        }
        if (arena_.graceBytes() < sizeBytes && !tables_.evict(sizeBytes, file.isWanted)) {
            return false;
        }
        // What is evicted is the programs' until the lists were published and the grace period is over.
        wake();
        roomFreed_.wait_for(lock, std::chrono::nanoseconds(graceNs + 20 * nsPerMs),
                            [this] { return isStopping_.load(); });
        if (isStopping_) {
            return false;
        }
        arena_.collect();
    }
    return false;
}

void UnwindEngine::resume(StackCopy copy, std::function<void(ResumedStack)> done) {
    marks_->mark(copy.pid, symbols::coarseNs());
    {
        std::lock_guard lock(mutex_);
        if (!resumer_.add(std::move(copy), done, monotonicNs())) {
            done({{}, UNWIND_END_NO_TABLE});
            return;
        }
    }
    wake();
}

void UnwindEngine::want(int pid, uint64_t timeNs, uint64_t address) {
    marks_->mark(pid, symbols::coarseNs());
    std::lock_guard lock(mutex_);
    std::shared_ptr<MappingList> list = lists_.listAt(pid, timeNs);
    const CodeRange *range = list ? list->find(address) : nullptr;
    if (range != nullptr && range->file) {
        queueFile(range->file, true);
    }
}

std::optional<symbols::CapturedCode> UnwindEngine::codeAt(int pid, uint64_t address) {
    std::lock_guard lock(mutex_);
    const CodeRange *range = lists_.findEver(pid, address);
    if (range == nullptr || !range->file) {
        return std::nullopt;
    }
    const CodeFile &file = *range->file;
    symbols::Mapping mapping{range->start,     range->end, range->fileOffset, file.inode, file.deviceMajor,
                             file.deviceMinor, 0};
    return symbols::CapturedCode{mapping, file.sighting.path, file.parentPid, file.key};
}

UnwinderStats UnwindEngine::stats() {
    std::lock_guard lock(mutex_);
    UnwinderStats stats = totals_;
    stats.processes = lists_.size();
    stats.mappings = lists_.mappingCount();
    stats.files = lists_.files().size();
    stats.tables = tables_.totals();
    stats.blockBytes = arena_.blockBytes();
    stats.usedBytes = arena_.usedBytes();
    stats.maxBytes = arena_.maxBytes();
    stats.fixedMapBytes = maps_.fixedBytes();
    stats.eventBufferBytes = events_.bufferBytes();
    stats.waitingFiles = waiting_.size() + (isBuilding_ ? 1 : 0);
    stats.rereads = lists_.rereads();
    stats.unpublished = lists_.unpublished();
    stats.resumes = resumer_.totals();
    return stats;
}

} // namespace hotspan::unwind
