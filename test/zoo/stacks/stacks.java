// What Java programs are made of: recursion, sorting with a lambda, maps, strings, exceptions, and a second thread.

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

class Stacks {
    static volatile long sink;

    static int recurse(int depth, int turn) {
        return depth == 0 ? work(turn) : recurse(depth - 1, turn) + 1;
    }

    static int work(int turn) {
        List<String> values = new ArrayList<>();
        for (int i = 0; i < 200; i++) values.add("value " + (i * 7919) % 101);
        values.sort((left, right) -> right.compareTo(left));
        Map<String, Integer> counts = new HashMap<>();
        for (String value : values) counts.merge(value, 1, Integer::sum);
        if (turn % 50 == 0) {
            try {
                throw new IllegalStateException("turn " + turn);
            } catch (IllegalStateException error) {
                sink += error.getMessage().length();
            }
        }
        return counts.size();
    }

    static void live() {
        for (int turn = 0;; turn++) sink += recurse(turn % 60, turn);
    }

    public static void main(String[] arguments) {
        Thread other = new Thread(Stacks::live, "other");
        other.setDaemon(true);
        other.start();
        System.out.println("ready");
        live();
    }
}
