"""History that a bridge brings along: many events at once, of times long ago (com.beeper.backfill)."""
