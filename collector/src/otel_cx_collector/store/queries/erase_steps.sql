-- Takes the executions of one customer or account out of every part. By hash, because the statement is kept for a while.
ALTER TABLE steps DELETE
WHERE sipHash128({column:Identifier}) = unhex({digest:String})
   OR (grade = 'customer' AND sipHash128(attempt) = unhex({digest:String}))
SETTINGS mutations_sync = 2, max_execution_time = 0
