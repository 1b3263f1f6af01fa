// See event-closer.h.
#include "event-closer.h"

#include <chrono>
#include <deque>
#include <mutex>
#include <thread>

#include "thread.h"

namespace hotspan {

using Clock = std::chrono::steady_clock;

// A source that is started again within this time finds its tracepoints still counted, and does not wait for a close
// that holds the kernel's event lock.
static constexpr std::chrono::milliseconds close_delay{300};

// Descriptors are few; more events than this are closed without delay.
static constexpr size_t max_waiting = 256;

struct WaitingEvent {
    Fd event;
    Clock::time_point due;
};

struct Closer {
    std::mutex mutex;
    std::deque<WaitingEvent> waiting;
    bool is_running = false;
};

// Never freed: its thread may outlive every instance of the addon.
static Closer &TheCloser() {
    static Closer *closer = new Closer;
    return *closer;
}

static void Run() {
    Closer &closer = TheCloser();
    std::unique_lock<std::mutex> lock(closer.mutex);
    while (!closer.waiting.empty()) {
        Clock::time_point due = closer.waiting.front().due;
        if (closer.waiting.size() <= max_waiting && due > Clock::now()) {
            lock.unlock();
            std::this_thread::sleep_until(due);
            lock.lock();
            continue;
        }
        Fd event = std::move(closer.waiting.front().event);
        closer.waiting.pop_front();
        lock.unlock();
        event = Fd();
        lock.lock();
    }
    closer.is_running = false;
}

void CloseEventLater(Fd event) {
    Closer &closer = TheCloser();
    std::lock_guard<std::mutex> lock(closer.mutex);
    closer.waiting.push_back({std::move(event), Clock::now() + close_delay});
    if (closer.is_running)
        return;
    Thread thread;
    closer.is_running = thread.Start("hotspan-closer", Run) == 0;
    thread.Detach();
    // Without a thread the caller waits for the kernel itself.
    if (!closer.is_running)
        closer.waiting.clear();
}

} // namespace hotspan
