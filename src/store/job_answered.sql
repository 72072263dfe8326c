-- Whether a request for a run was answered. $1 job; $2 the request.
SELECT j.answered >= $2 FROM numbering.jobs j WHERE j.job = $1
